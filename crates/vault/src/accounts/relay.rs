//! The relay of approvals: sessions in memory. It passes on public keys and sealed bytes, and learns nothing from them.

use std::sync::{Mutex, PoisonError};

use heirloom_vault_api::{
    APPROVAL_TRIES, AccountId, ApprovalAnswer, ApprovalCommit, ApprovalEnd, ApprovalPart,
    ApprovalReplied, ApprovalReply, ApprovalReveal, ApprovalState, Code, Fixed,
};

use super::coded::{Coded, Ids};

/// More are not under way at a time; the oldest goes.
const MOST: usize = 5_000;

#[derive(Debug)]
struct Session {
    /// The new device's.
    new: Fixed<16>,
    /// The signed-in device's, and its account, as soon as one joined.
    other: Option<(Fixed<16>, AccountId)>,
    state: ApprovalState,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Relay(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: Coded<Session>,
}

const fn fresh(failed: u32) -> ApprovalState {
    ApprovalState {
        failed,
        commitment: None,
        answer: None,
        reveal: None,
        encapsulated: None,
        sealed: None,
        reply: None,
    }
}

impl Inner {
    /// The session, for its new device.
    fn of_new(
        &mut self,
        session: &Fixed<16>,
        ticket: &Fixed<16>,
        now: u64,
    ) -> Result<&mut Session, Code> {
        let session = self.all.live(session, now)?;
        (session.new == *ticket)
            .then_some(session)
            .ok_or(Code::NotFound)
    }

    /// The session, for the signed-in device that joined it.
    fn of_other(
        &mut self,
        session: &Fixed<16>,
        ticket: &Fixed<16>,
        account: &AccountId,
        now: u64,
    ) -> Result<&mut Session, Code> {
        let session = self.all.live(session, now)?;
        (session.other == Some((*ticket, *account)))
            .then_some(session)
            .ok_or(Code::NotFound)
    }
}

impl Relay {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a session and gives its code.
    pub(crate) fn begin(&self, ids: Ids, now: u64) -> Result<String, Code> {
        self.with(|inner| {
            inner.all.sweep(MOST, now);
            let begun = Session {
                new: ids.ticket,
                other: None,
                state: fresh(0),
            };
            inner.all.begin(&ids, begun, now)
        })
    }

    /// The new device's commitment, once for each try.
    pub(crate) fn commit(&self, commit: &ApprovalCommit, now: u64) -> Result<(), Code> {
        let ApprovalCommit {
            session,
            ticket,
            commitment,
        } = commit;
        self.with(|inner| {
            let session = inner.of_new(session, ticket, now)?;
            if session.state.commitment.is_some() {
                return Err(Code::Conflict);
            }
            session.state.commitment = Some(*commitment);
            Ok(())
        })
    }

    /// A signed-in device enters; one for each session.
    pub(crate) fn join(
        &self,
        typed: &str,
        ticket: Fixed<16>,
        account: AccountId,
        now: u64,
    ) -> Result<Fixed<16>, Code> {
        self.with(|inner| {
            let id = inner.all.by_code(typed)?;
            let session = inner.all.live(&id, now)?;
            if session.other.is_some() {
                return Err(Code::NotFound);
            }
            session.other = Some((ticket, account));
            Ok(id)
        })
    }

    /// How far it is, for either.
    pub(crate) fn state(
        &self,
        session: &Fixed<16>,
        ticket: &Fixed<16>,
        now: u64,
    ) -> Result<ApprovalState, Code> {
        self.with(|inner| {
            let session = inner.all.live(session, now)?;
            let is_theirs =
                session.new == *ticket || session.other.is_some_and(|(other, _)| other == *ticket);
            is_theirs
                .then(|| session.state.clone())
                .ok_or(Code::NotFound)
        })
    }

    /// The signed-in device's contribution, after the commitment.
    pub(crate) fn answer(
        &self,
        answer: &ApprovalAnswer,
        account: &AccountId,
        now: u64,
    ) -> Result<(), Code> {
        let ApprovalAnswer {
            session,
            ticket,
            key,
            nonce,
        } = answer;
        self.with(|inner| {
            let state = &mut inner.of_other(session, ticket, account, now)?.state;
            if state.commitment.is_none() || state.answer.is_some() {
                return Err(Code::Conflict);
            }
            state.answer = Some(ApprovalPart {
                key: *key,
                nonce: *nonce,
            });
            Ok(())
        })
    }

    /// The new device's contribution, after the other one.
    pub(crate) fn reveal(&self, reveal: &ApprovalReveal, now: u64) -> Result<(), Code> {
        let ApprovalReveal {
            session,
            ticket,
            key,
            nonce,
            encapsulated,
        } = *reveal;
        self.with(|inner| {
            let state = &mut inner.of_new(&session, &ticket, now)?.state;
            if state.answer.is_none() || state.reveal.is_some() {
                return Err(Code::Conflict);
            }
            state.reveal = Some(ApprovalPart { key, nonce });
            state.encapsulated = Some(encapsulated);
            Ok(())
        })
    }

    /// The end of a try: sealed bytes, or other words. After three of these the session is gone.
    pub(crate) fn end(&self, end: ApprovalEnd, account: &AccountId, now: u64) -> Result<(), Code> {
        let ApprovalEnd {
            session: id,
            ticket,
            sealed,
        } = end;
        self.with(|inner| {
            let session = inner.of_other(&id, &ticket, account, now)?;
            if session.state.reveal.is_none() || session.state.sealed.is_some() {
                return Err(Code::Conflict);
            }
            let Some(sealed) = sealed else {
                let failed = session.state.failed.saturating_add(1);
                if failed >= APPROVAL_TRIES {
                    inner.all.forget(&id);
                } else {
                    session.state = fresh(failed);
                }
                return Ok(());
            };
            session.state.sealed = Some(sealed);
            // Nobody else finds it any more.
            inner.all.hide(&id);
            Ok(())
        })
    }

    /// What the new device asks for, or that a person there saw other words; once, after the end.
    pub(crate) fn reply(&self, reply: ApprovalReply, now: u64) -> Result<(), Code> {
        let ApprovalReply {
            session,
            ticket,
            sealed,
        } = reply;
        self.with(|inner| {
            let state = &mut inner.of_new(&session, &ticket, now)?.state;
            if state.sealed.is_none() || state.reply.is_some() {
                return Err(Code::Conflict);
            }
            state.reply = Some(ApprovalReplied { sealed });
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::coded::LIFE_MS;
    use super::*;
    use heirloom_vault_api::{ApprovalSealed, Bytes};

    const ACCOUNT: AccountId = Fixed([9; 16]);
    const SESSION: Fixed<16> = Fixed([1; 16]);
    const NEW: Fixed<16> = Fixed([2; 16]);
    const OTHER: Fixed<16> = Fixed([3; 16]);

    fn begun() -> (Relay, String) {
        let relay = Relay::default();
        let ids = Ids {
            session: SESSION,
            ticket: NEW,
            code: Fixed([5; 16]),
        };
        let code = relay.begin(ids, 0).unwrap();
        (relay, code)
    }

    fn commit(relay: &Relay) -> Result<(), Code> {
        let commit = ApprovalCommit {
            session: SESSION,
            ticket: NEW,
            commitment: Fixed([4; 32]),
        };
        relay.commit(&commit, 1)
    }

    fn answer(relay: &Relay, account: &AccountId) -> Result<(), Code> {
        let answer = ApprovalAnswer {
            session: SESSION,
            ticket: OTHER,
            key: Fixed([0; 1216]),
            nonce: Fixed([0; 32]),
        };
        relay.answer(&answer, account, 1)
    }

    fn reveal(relay: &Relay) -> Result<(), Code> {
        let reveal = ApprovalReveal {
            session: SESSION,
            ticket: NEW,
            key: Fixed([0; 1216]),
            nonce: Fixed([0; 32]),
            encapsulated: Fixed([0; 1120]),
        };
        relay.reveal(&reveal, 1)
    }

    fn reply(relay: &Relay, ticket: Fixed<16>) -> Result<(), Code> {
        let reply = ApprovalReply {
            session: SESSION,
            ticket,
            sealed: None,
        };
        relay.reply(reply, 1)
    }

    fn differ(relay: &Relay) -> Result<(), Code> {
        let end = ApprovalEnd {
            session: SESSION,
            ticket: OTHER,
            sealed: None,
        };
        relay.end(end, &ACCOUNT, 1)
    }

    #[test]
    fn nothing_is_said_out_of_turn_or_twice() {
        let (relay, code) = begun();
        assert_eq!(
            relay.join(&code.to_lowercase(), OTHER, ACCOUNT, 1),
            Ok(SESSION)
        );
        assert_eq!(
            answer(&relay, &ACCOUNT),
            Err(Code::Conflict),
            "before the commitment"
        );
        assert_eq!(
            reveal(&relay),
            Err(Code::Conflict),
            "before the other's contribution"
        );
        commit(&relay).unwrap();
        assert_eq!(commit(&relay), Err(Code::Conflict), "another commitment");
        assert_eq!(reveal(&relay), Err(Code::Conflict));
        assert_eq!(
            answer(&relay, &Fixed([8; 16])),
            Err(Code::NotFound),
            "another account"
        );
        answer(&relay, &ACCOUNT).unwrap();
        assert_eq!(answer(&relay, &ACCOUNT), Err(Code::Conflict));
        assert_eq!(differ(&relay), Err(Code::Conflict), "before the reveal");
        reveal(&relay).unwrap();
        assert_eq!(reveal(&relay), Err(Code::Conflict));
        assert_eq!(reply(&relay, NEW), Err(Code::Conflict), "before the end");
        let sealed = Bytes::new(vec![1]).map(|ciphertext| ApprovalSealed {
            encapsulated: Fixed([0; 1120]),
            ciphertext,
        });
        let end = ApprovalEnd {
            session: SESSION,
            ticket: OTHER,
            sealed,
        };
        relay.end(end, &ACCOUNT, 1).unwrap();
        assert_eq!(
            reply(&relay, OTHER),
            Err(Code::NotFound),
            "in the other's name"
        );
        reply(&relay, NEW).unwrap();
        assert_eq!(reply(&relay, NEW), Err(Code::Conflict));
        let state = relay.state(&SESSION, &OTHER, 1).unwrap();
        assert_eq!(state.reply, Some(ApprovalReplied { sealed: None }));
    }

    #[test]
    fn a_code_selects_a_session_for_one_and_for_ten_minutes() {
        let (relay, code) = begun();
        assert_eq!(
            relay.join("BBBB-BBBB", OTHER, ACCOUNT, 1),
            Err(Code::NotFound)
        );
        assert_eq!(
            relay.join(&code, OTHER, ACCOUNT, LIFE_MS),
            Err(Code::NotFound)
        );
        relay.join(&code, OTHER, ACCOUNT, 1).unwrap();
        assert_eq!(relay.join(&code, OTHER, ACCOUNT, 1), Err(Code::NotFound));
        assert!(relay.state(&SESSION, &OTHER, 1).is_ok());
        assert!(relay.state(&SESSION, &NEW, 1).is_ok());
        assert_eq!(
            relay.state(&SESSION, &Fixed([7; 16]), 1),
            Err(Code::NotFound)
        );
        assert_eq!(relay.state(&SESSION, &NEW, LIFE_MS), Err(Code::NotFound));
    }

    #[test]
    fn after_three_tries_with_other_words_the_session_is_gone() {
        let (relay, code) = begun();
        relay.join(&code, OTHER, ACCOUNT, 1).unwrap();
        for failed in 0..APPROVAL_TRIES {
            assert_eq!(relay.state(&SESSION, &NEW, 1).unwrap().failed, failed);
            commit(&relay).unwrap();
            answer(&relay, &ACCOUNT).unwrap();
            reveal(&relay).unwrap();
            differ(&relay).unwrap();
        }
        assert_eq!(relay.state(&SESSION, &NEW, 1), Err(Code::NotFound));
        let inner = relay.0.lock().unwrap();
        let (sessions, codes, _) = inner.all.sizes();
        assert_eq!((sessions, codes), (0, 0));
    }

    #[test]
    fn what_is_over_leaves_memory() {
        let (relay, _) = begun();
        let ids = Ids {
            session: Fixed([6; 16]),
            ticket: NEW,
            code: Fixed([6; 16]),
        };
        relay.begin(ids, LIFE_MS).unwrap();
        let inner = relay.0.lock().unwrap();
        assert_eq!(inner.all.sizes(), (1, 1, 1));
    }
}
