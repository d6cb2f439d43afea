//! A page on another device, by way of a relay.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::*;
use crate::ask::{Elsewhere, Ending};
use crate::client::Client;
use crate::session::Session;
use crate::testing::rng;

/// What a relay holds, and everything that it ever saw.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) keys: [Vec<u8>; 2],
    pub(super) request: (u64, Vec<u8>),
    answer: Option<Handed>,
    pub(super) all: Vec<u8>,
    pub(super) is_over: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Post(Arc<Mutex<Held>>);

impl Post {
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    pub(super) fn answer(&self, sealed: Sealed) {
        let answer = Handed {
            suite: sealed.suite.number(),
            encapsulated: sealed.encapsulated,
            sealed: sealed.ciphertext,
        };
        self.with(|held| {
            held.all.extend_from_slice(&answer.encapsulated);
            held.all.extend_from_slice(&answer.sealed);
            held.answer = Some(answer);
        });
    }
}

impl Relay for Post {
    fn ask(&mut self, number: u64, request: &[u8]) -> io::Result<()> {
        self.with(|held| {
            held.all.extend_from_slice(request);
            held.request = (number, request.to_vec());
            held.answer = None;
        });
        Ok(())
    }

    fn look(&mut self) -> io::Result<Seen> {
        self.with(|held| {
            Ok(Seen {
                request: held.request.0,
                answer: held.answer.clone(),
            })
        })
    }

    fn end(&mut self) {
        self.with(|held| held.is_over = true);
    }
}

/// What the page on the other device knows: the link.
pub(super) struct Device {
    pub(super) post: Post,
    hash: [u8; 32],
    pub(super) short: Vec<u8>,
    seen: u64,
}

impl Device {
    pub(super) fn new(post: &Post, link: &Link) -> Self {
        let fragment = link
            .expose()
            .strip_prefix("https://vault.example.org/ceremony#2.");
        let parts: Vec<_> = fragment.unwrap().split('.').collect();
        let [session, hash, short] = parts.as_slice() else {
            panic!("{parts:?}")
        };
        assert_eq!(bytes::read(session, 16).unwrap(), SESSION);
        Self {
            post: post.clone(),
            hash: bytes::read(hash, 32).unwrap().try_into().unwrap(),
            short: bytes::read(short, 16).unwrap(),
            seen: 0,
        }
    }

    pub(super) fn psk(&self) -> Secret {
        page::psk(&self.short)
    }

    /// The next step that asks something, with the keys beside it; the keys are those of the link.
    pub(super) fn step(&mut self) -> Value {
        loop {
            let (number, request, keys) = self
                .post
                .with(|held| (held.request.0, held.request.1.clone(), held.keys.clone()));
            if number > self.seen {
                self.seen = number;
                assert_eq!(hash([&keys[0], &keys[1]]), self.hash);
                let view = page::open_request(&self.short, &SESSION, &self.hash, number, &request);
                let mut view = view.unwrap();
                view["keys"] =
                    json!({"xWing": bytes::text(&keys[0]), "x25519": bytes::text(&keys[1])});
                if matches!(view["kind"].as_str(), Some("create" | "get" | "signin")) {
                    assert_eq!(view["code"], "BCDF-GHJK");
                    return view;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn sealed(&self, view: &Value, message: &Value) -> Sealed {
        page::sealed(&self.psk(), &view["keys"], message, &mut rng(8)).unwrap()
    }

    pub(super) fn say(&self, view: &Value, message: &Value) {
        self.post.answer(self.sealed(view, message));
    }

    fn create(&mut self, fake: &Fake) {
        let view = self.step();
        let message = fake.create(&view, &Client::on_site(ORIGIN, self.psk()));
        self.say(&view, &message);
    }

    fn get(&mut self, fake: &Fake) {
        let view = self.step();
        let message = fake.get(&view, &Client::on_site(ORIGIN, self.psk()));
        self.say(&view, &message);
    }
}

/// A session whose page is on another device.
fn elsewhere(
    device: impl FnOnce(Device) + Send + 'static,
) -> (Session, JoinHandle<()>, Post, Link) {
    let post = Post::default();
    let site = site();
    let options = Elsewhere {
        repository: [7; 16],
        backup_label: "a label that nobody needs to know",
        timeout: Duration::from_secs(20),
        site: &site,
    };
    let mut begin = |keys: PublicKeys<'_>| {
        post.with(|held| held.keys = [keys.x_wing.to_vec(), keys.x25519.to_vec()]);
        Ok(Begun {
            relay: Box::new(post.clone()),
            session: SESSION,
            code: "BCDF-GHJK".to_owned(),
        })
    };
    let (session, link) = Session::begin_elsewhere(&options, &mut begin, &mut rng(3)).unwrap();
    let page = Device::new(&post, &link);
    let thread = std::thread::spawn(move || device(page));
    (session, thread, post, link)
}

/// What an authentication on another device comes to.
fn asked(device: impl FnOnce(Device) + Send + 'static) -> Result<[u8; 1], CeremonyError> {
    let (mut session, thread, _, _) = elsewhere(device);
    let answered = session.authenticate(&ask(&[known(&fake(1))]), &mut rng(4));
    thread.join().unwrap();
    answered.map(|answer| [answer.credential_id[0]])
}

#[test]
fn a_passkey_is_saved_and_opens_on_another_device() {
    let (mut session, thread, post, _) = elsewhere(|mut device| {
        device.create(&fake(1));
        device.get(&fake(1));
        device.get(&fake(1));
        device.get(&fake(1));
    });
    let new = session.register(&ENROL, &mut rng(4)).unwrap();
    assert_eq!(new.passkey.rp_id, "example.org");
    session
        .authenticate(&ask(&[known(&fake(1))]), &mut rng(5))
        .unwrap();
    thread.join().unwrap();
    session.end(&Ending {
        good: true,
        title: "It opens your backup".to_owned(),
        text: String::new(),
    });
    assert!(
        post.with(|held| held.is_over),
        "the relay is told that it is over"
    );
}

#[test]
fn a_relay_holds_neither_what_is_asked_nor_what_is_answered() {
    let (mut session, thread, post, link) = elsewhere(|mut device| {
        device.create(&fake(1));
        device.get(&fake(1));
        device.get(&fake(1));
    });
    session.register(&ENROL, &mut rng(4)).unwrap();
    thread.join().unwrap();
    drop(session);
    let all = post.with(|held| held.all.clone());
    let short = bytes::read(link.expose().rsplit_once('.').unwrap().1, 16).unwrap();
    let output = [1_u8; 32];
    let holds = |what: &[u8]| {
        let spellings = [
            what.to_vec(),
            bytes::text(what).into_bytes(),
            hex::encode(what).into_bytes(),
        ];
        spellings
            .iter()
            .any(|form| all.windows(form.len()).any(|part| part == form))
    };
    assert!(all.len() > 10_000);
    assert!(holds(&all[100..140]), "the search finds what is there");
    for secret in [
        short.as_slice(),
        &output,
        &INPUT,
        &fake(1).id,
        &fake(1).public_key(),
        b"a label that nobody needs to know",
        b"webauthn.get",
        b"clientData",
        b"challenge",
    ] {
        assert!(!holds(secret), "{:?}", String::from_utf8_lossy(secret));
    }
    // Each request and each answer has the length of the others: what a step asks does not show.
    assert!(format!("{link:?}").contains("REDACTED"));
}

#[test]
fn keys_that_were_swapped_are_not_those_of_the_link() {
    let (session, thread, post, _) = elsewhere(|device| {
        let keys = device.post.with(|held| held.keys.clone());
        assert_eq!(hash([&keys[0], &keys[1]]), device.hash);
        let mine = StepKeys::generate(&mut rng(66));
        let [x_wing, x25519] = mine.public();
        for swapped in [
            [x_wing, &keys[1]],
            [&keys[0], x25519],
            [x_wing, x25519],
            [&keys[1], &keys[0]],
        ] {
            assert_ne!(hash(swapped), device.hash);
        }
    });
    thread.join().unwrap();
    drop(session);
    assert!(post.with(|held| held.is_over));
}

#[test]
fn a_request_opens_for_its_own_link_session_and_number_alone() {
    asked(|mut device| {
        device.get(&fake(1));
        let (number, request) = device.post.with(|held| held.request.clone());
        let open = |short: &[u8], session, hash, number, request: &[u8]| {
            page::open_request(short, session, hash, number, request).is_some()
        };
        assert!(open(
            &device.short,
            &SESSION,
            &device.hash,
            number,
            &request
        ));
        assert!(
            !open(&[0; 16], &SESSION, &device.hash, number, &request),
            "another PSK"
        );
        assert!(
            !open(&device.short, &[0; 16], &device.hash, number, &request),
            "another session"
        );
        assert!(
            !open(&device.short, &SESSION, &[0; 32], number, &request),
            "other keys"
        );
        assert!(
            !open(&device.short, &SESSION, &device.hash, number + 1, &request),
            "a later step"
        );
        let mut changed = request.clone();
        changed[40] ^= 1;
        assert!(
            !open(&device.short, &SESSION, &device.hash, number, &changed),
            "changed on the way"
        );
        assert_eq!(request.len() % REQUEST_BLOCK, 16);
    })
    .unwrap();
}

#[test]
fn an_answer_without_the_psk_of_the_link_is_refused() {
    let error = asked(|mut device| {
        let view = device.step();
        let message = fake(1).get(&view, &Client::on_site(ORIGIN, device.psk()));
        // The public keys are no secret: who has seen them alone can seal, and nothing opens it.
        let sealed = page::sealed(&page::psk(&[0; 16]), &view["keys"], &message, &mut rng(8));
        device.post.answer(sealed.unwrap());
    });
    assert!(
        matches!(error, Err(CeremonyError::BadAnswer(BadAnswer::Sealing))),
        "{error:?}"
    );
}

#[test]
fn an_answer_to_other_keys_or_with_a_changed_byte_is_refused() {
    for change in [0, 1, 2, 3] {
        let error = asked(move |mut device| {
            let mut view = device.step();
            let message = fake(1).get(&view, &Client::on_site(ORIGIN, device.psk()));
            if change == 3 {
                let other = StepKeys::generate(&mut rng(66));
                let [x_wing, x25519] = other.public().map(bytes::text);
                view["keys"] = json!({"xWing": x_wing, "x25519": x25519});
            }
            let mut sealed = device.sealed(&view, &message);
            match change {
                0 => sealed.ciphertext[9] ^= 1,
                1 => sealed.encapsulated[9] ^= 1,
                2 => sealed.ciphertext.truncate(20),
                _ => {}
            }
            device.post.answer(sealed);
        });
        let refused = matches!(error, Err(CeremonyError::BadAnswer(BadAnswer::Sealing)));
        assert!(refused, "{change}: {error:?}");
    }
}

#[test]
fn the_answer_of_one_step_is_not_one_to_the_next() {
    let (mut session, thread, _, _) = elsewhere(|mut device| {
        device.create(&fake(1));
        let view = device.step();
        let message = fake(1).get(&view, &Client::on_site(ORIGIN, device.psk()));
        let first = device.sealed(&view, &message);
        device.post.answer(first.clone());
        device.step();
        device.post.answer(first);
    });
    let error = session.register(&ENROL, &mut rng(4)).unwrap_err();
    thread.join().unwrap();
    assert!(
        matches!(error, CeremonyError::BadAnswer(BadAnswer::Sealing)),
        "{error:?}"
    );
}

#[test]
fn what_was_asked_on_another_origin_or_for_another_party_is_refused() {
    let error = asked(|mut device| {
        let view = device.step();
        let message = fake(1).get(
            &view,
            &Client::on_site("https://evil.example.org", device.psk()),
        );
        device.say(&view, &message);
    });
    assert!(
        matches!(error, Err(CeremonyError::WrongOrigin(_))),
        "{error:?}"
    );
    let error = asked(|mut device| {
        let view = device.step();
        assert_eq!(view["options"]["rpId"], "example.org");
        let message = Fake::new(1).get(&view, &Client::on_site(ORIGIN, device.psk()));
        device.say(&view, &message);
    });
    assert!(
        matches!(
            error,
            Err(CeremonyError::BadAnswer(BadAnswer::RelyingParty))
        ),
        "{error:?}"
    );
}

#[test]
fn a_person_may_cancel_on_the_other_device() {
    let error = asked(|mut device| {
        let view = device.step();
        assert_eq!(view["title"], "Unlock your backup on your computer");
        device.say(&view, &json!({"kind": "cancelled", "step": view["number"]}));
    });
    assert!(matches!(error, Err(CeremonyError::Cancelled)), "{error:?}");
}

#[test]
fn a_passkey_of_this_computers_page_is_not_asked_elsewhere() {
    let (mut session, thread, _, _) = elsewhere(|_| ());
    let error = session.authenticate(&ask(&[Fake::new(1).known()]), &mut rng(4));
    thread.join().unwrap();
    assert!(
        matches!(error, Err(CeremonyError::NoCandidate)),
        "{error:?}"
    );
}

/// A relay that says one thing after the other.
#[derive(Debug)]
struct Says(VecDeque<io::Result<Seen>>);

impl Relay for Says {
    fn ask(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn look(&mut self) -> io::Result<Seen> {
        self.0.pop_front().unwrap_or(Ok(Seen::default()))
    }

    fn end(&mut self) {}
}

fn with_relay(says: Vec<io::Result<Seen>>, timeout: Duration) -> CeremonyError {
    let site = site();
    let options = Elsewhere {
        repository: [7; 16],
        backup_label: "a disk",
        timeout,
        site: &site,
    };
    let mut says = Some(Says(says.into()));
    let mut begin = |_: PublicKeys<'_>| {
        Ok(Begun {
            relay: Box::new(says.take().unwrap()),
            session: SESSION,
            code: String::new(),
        })
    };
    let (mut session, _) = Session::begin_elsewhere(&options, &mut begin, &mut rng(3)).unwrap();
    session
        .authenticate(&ask(&[known(&fake(1))]), &mut rng(4))
        .unwrap_err()
}

#[test]
fn a_session_that_is_over_and_a_relay_that_is_gone_have_words_of_their_own() {
    let long = Duration::from_secs(20);
    let over = with_relay(vec![Err(io::ErrorKind::NotFound.into())], long);
    assert!(matches!(over, CeremonyError::TimedOut), "{over:?}");
    let gone = with_relay(
        vec![Ok(Seen::default()), Err(io::ErrorKind::TimedOut.into())],
        long,
    );
    assert_eq!(gone.to_string(), "the other device could not be reached");
    let nobody = with_relay(Vec::new(), Duration::from_millis(30));
    assert!(matches!(nobody, CeremonyError::TimedOut), "{nobody:?}");
}

#[test]
fn a_relay_that_makes_an_answer_up_is_refused() {
    let made_up = |suite, encapsulated: usize, sealed: usize| {
        let answer = Handed {
            suite,
            encapsulated: vec![1; encapsulated],
            sealed: vec![2; sealed],
        };
        let seen = Seen {
            request: 1,
            answer: Some(answer),
        };
        with_relay(vec![Ok(seen)], Duration::from_secs(20)).to_string()
    };
    for (suite, encapsulated, sealed) in [
        (25722, 1120, 4112),
        (32, 32, 4112),
        (32, 0, 0),
        (25722, 32, 16),
    ] {
        let words = made_up(suite, encapsulated, sealed);
        assert_eq!(
            words,
            "the browser's answer was refused: what it carried was changed on the way"
        );
    }
    assert!(made_up(16, 32, 64).ends_with("it could not be read"));
}
