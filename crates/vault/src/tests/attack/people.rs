//! Who is at the server's door: an owner who does one thing after the other, and 64 who guess.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use heirloom_vault_api::*;

use super::Dice;
use crate::tests::client::Client;
use crate::tests::harness::owner;
use crate::tests::person::{Enrolment, Login, Opened, password};
use crate::vault::rng;

/// What both sides see of one life of the server.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Evaluations that attackers received.
    pub(super) answered: AtomicU32,
    /// Of these, with a password that was replaced before.
    pub(super) older: AtomicU32,
    /// Passwords below this number were replaced, and the owner had the server's word for it.
    pub(super) replaced: AtomicU64,
    pub(super) over: AtomicBool,
}

/// Each version has a password of its own.
pub(super) fn text(number: u64) -> String {
    format!("correct horse {number}")
}

/// How far a change of the password got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Registers,
    Guesses,
    Proves,
    Activates,
}

pub(super) const STEPS: [Step; 4] = [
    Step::Registers,
    Step::Guesses,
    Step::Proves,
    Step::Activates,
];

/// What a change of the password came to.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// The owner's own evaluations that stay unproven, as far as is certain.
    pub(super) unproven: u32,
    /// The server said that the new version is in force.
    pub(super) is_activated: bool,
}

pub(super) struct Owner {
    pub(super) client: Client,
    pub(super) identity: Identity,
    pub(super) record: RecordName,
    /// The record's first password.
    pub(super) first: u64,
    /// Which password is in force, as far as is known …
    pub(super) active: u64,
    /// … and the one that may be, with its version, where no answer came.
    pub(super) unknown: Option<(u64, u32)>,
    /// Passwords so far.
    pub(super) passwords: u64,
}

impl Owner {
    pub(super) fn pinned(&self) -> Pinned {
        Pinned {
            record: self.record,
            identity: self.identity,
            suite: suite::NEWEST,
        }
    }

    /// A pending version, with the next password.
    fn register(&mut self, record: Option<RecordName>) -> Option<(u64, u32)> {
        self.passwords += 1;
        let number = self.passwords;
        let mut rng = rng();
        let text = password(&text(number));
        let (enrolment, start) = Enrolment::start(&text, record, &mut rng);
        let started = self.client.post("/v1/registrations", &start).ok()?;
        if started.status != 200 {
            return None;
        }
        let answer = started.json();
        let (finish, record, _) = enrolment
            .finish(
                &text,
                &answer,
                &self.identity,
                &owner(1),
                &owner(1),
                &mut rng,
            )
            .unwrap();
        let finished = self.client.post("/v1/registrations/finish", &finish).ok()?;
        if finished.status != 201 {
            return None;
        }
        let Registered { record: _, version } = finished.json();
        self.record = record;
        Some((number, version))
    }

    fn activate(&mut self, number: u64, version: u32) -> bool {
        let act = OwnerAct::Activate { version };
        let activate = Activate {
            record: self.record,
            version,
            signature: owner(1).sign(&self.identity, &self.record, &act),
        };
        self.unknown = Some((number, version));
        // An engine whose transactions collide on this row says so, and nothing happened.
        for _ in 0..20 {
            match self.client.post("/v1/records/activate", &activate) {
                Ok(answer) if answer.status == 200 => {
                    (self.active, self.unknown) = (number, None);
                    return true;
                }
                Ok(answer) if answer.problem().code == Code::Unavailable => (),
                Ok(_) | Err(_) => return false,
            }
        }
        false
    }

    /// A guess with a password that is right, or was.
    fn guess(&self, number: u64, which: Which) -> Result<Opened, Code> {
        let mut rng = rng();
        let text = password(&text(number));
        let (login, start) = Login::start(&text, self.pinned(), which, &mut rng);
        let answer = self.client.post("/v1/guesses", &start);
        let answer = answer.map_err(|_| Code::Unavailable)?;
        if answer.status != 200 {
            return Err(answer.problem().code);
        }
        Ok(login.finish(&text, &answer.json(), &mut rng).unwrap())
    }

    pub(super) fn login(&self) -> Result<Confirmed, Code> {
        let opened = self.guess(self.active, Which::Active)?;
        let proved = self.client.post("/v1/proofs", &opened.proof);
        let proved = proved.map_err(|_| Code::Unavailable)?;
        if proved.status != 200 {
            return Err(proved.problem().code);
        }
        Ok(opened.confirm(&proved.json()))
    }

    /// The whole change, with an evaluation of the version before that is kept for later where `keeps`.
    pub(super) fn change(&mut self, keeps: bool, seen: &Seen, reached: impl Fn(Step)) -> Change {
        let mut change = Change::default();
        self.change_until_it_fails(keeps, &mut change, seen, reached);
        change
    }

    fn change_until_it_fails(
        &mut self,
        keeps: bool,
        change: &mut Change,
        seen: &Seen,
        reached: impl Fn(Step),
    ) -> Option<()> {
        reached(Step::Registers);
        let kept = if keeps {
            let kept = self.guess(self.active, Which::Active).ok();
            change.unproven += u32::from(kept.is_some());
            kept
        } else {
            None
        };
        let (number, version) = self.register(Some(self.record))?;
        reached(Step::Guesses);
        let opened = self.guess(number, Which::Pending).ok()?;
        reached(Step::Proves);
        let proved = self.client.post("/v1/proofs", &opened.proof).ok()?;
        if proved.status != 200 {
            let is_unknown = proved.problem().code == Code::OutcomeUnknown;
            change.unproven += u32::from(!is_unknown);
            return None;
        }
        opened.confirm(&proved.json());
        reached(Step::Activates);
        change.is_activated = self.activate(number, version);
        if change.is_activated {
            seen.replaced.store(number, Ordering::SeqCst);
            // An evaluation of the version before proves nothing any more (V4).
            if let Some(kept) = kept {
                let late = self.client.post("/v1/proofs", &kept.proof).ok()?;
                assert_ne!(late.status, 200, "a replaced version was proven");
            }
        }
        Some(())
    }

    /// A first version, with nobody else at the door.
    pub(super) fn enrol(&mut self) {
        let (number, version) = self.register(None).unwrap();
        self.first = number;
        let opened = self.guess(number, Which::Pending).unwrap();
        let proved = self.client.post("/v1/proofs", &opened.proof).unwrap();
        assert_eq!(proved.status, 200, "{proved:?}");
        assert!(self.activate(number, version));
    }

    /// Asks which version is in force, where a change broke off; whether it is the new one.
    pub(super) fn learn(&mut self) -> bool {
        let Some((number, version)) = self.unknown.take() else {
            return false;
        };
        let status = self.status();
        let is_new = status.version == Some(version);
        if is_new {
            self.active = number;
        }
        is_new
    }

    pub(super) fn status(&self) -> RecordStatus {
        let ask = StatusRead {
            record: self.record,
        };
        let answer = self.client.post("/v1/records/status", &ask).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Whether this record takes another version.
    pub(super) fn can_register(&mut self) -> bool {
        self.register(Some(self.record)).is_some()
    }

    /// A password that was replaced opens nothing (V7); whether there was an answer at all.
    pub(super) fn tries_an_older_one(&self, number: u64) -> bool {
        let mut rng = rng();
        let text = password(&text(number));
        let (login, start) = Login::start(&text, self.pinned(), Which::Active, &mut rng);
        let answer = self.client.post("/v1/guesses", &start).unwrap();
        if answer.status != 200 {
            return false;
        }
        let opened = login.finish(&text, &answer.json(), &mut rng);
        assert_eq!(opened.unwrap_err(), LoginError::WrongPassword);
        true
    }
}

/// One of the 64: guesses until the server is gone; breaks off after sending, now and then.
pub(super) fn attack(client: &Client, pinned: Pinned, first: u64, mut dice: Dice, seen: &Seen) {
    let mut rng = rng();
    while !seen.over.load(Ordering::SeqCst) {
        // Wrong, or right before it was changed.
        let replaced = seen.replaced.load(Ordering::SeqCst);
        let olders = replaced.saturating_sub(first);
        let older = (olders > 0 && dice.roll(2) == 0).then(|| first + dice.roll(olders));
        let text = password(&older.map_or("wrong".to_owned(), text));
        let which = if dice.roll(4) == 0 {
            Which::Pending
        } else {
            Which::Active
        };
        let (login, start) = Login::start(&text, pinned, which, &mut rng);
        let mut client = client.clone();
        if which == Which::Active && dice.roll(3) == 0 {
            client.token = None;
        }
        if dice.roll(5) == 0 {
            breaks_off(&client, &start, &mut dice);
            continue;
        }
        match client.post("/v1/guesses", &start) {
            Ok(answer) if answer.status == 200 => {
                let evaluated: Evaluated = answer.json();
                seen.answered.fetch_add(1, Ordering::SeqCst);
                seen.older
                    .fetch_add(u32::from(older.is_some()), Ordering::SeqCst);
                // V7: also of a version that was in force a moment ago.
                let opened = login.finish(&text, &evaluated, &mut rng);
                assert_eq!(opened.unwrap_err(), LoginError::WrongPassword);
            }
            Ok(_) => (),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Sends half of it, or all of it, and goes.
fn breaks_off(client: &Client, start: &GuessStart, dice: &mut Dice) {
    let body = serde_json::to_vec(start).unwrap();
    let head = format!(
        "POST /v1/guesses HTTP/1.1\r\nhost: vault\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let bytes = [head.as_bytes(), &body].concat();
    let most = u64::try_from(bytes.len()).unwrap();
    let sent = if dice.roll(2) == 0 {
        most
    } else {
        dice.roll(most)
    };
    if let Ok(mut stream) = TcpStream::connect(client.address) {
        let _ = stream.write_all(&bytes[..usize::try_from(sent).unwrap()]);
    }
}
