//! Sign-ins that are under way between a program, the page and this server: in memory, each good for one answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use heirloom_vault_api::{AccountId, Code, DeviceName, Fixed, TenantName, Verifier};

use crate::store::passkey::NewPasskey;

/// From the first request to the last.
const LIFE_MS: u64 = 5 * 60_000;
/// More are not under way at a time; the oldest goes.
const MOST: usize = 20_000;

/// What a sign-in is for.
#[derive(Clone, Debug)]
pub(crate) enum Aim {
    /// A new passkey of an account.
    Save {
        account: AccountId,
        handle: Fixed<32>,
        exclude: Vec<Vec<u8>>,
    },
    /// A new device, with a passkey that is there.
    SignIn {
        /// What the page calls it, where it is another one than the page's.
        elsewhere: Option<DeviceName>,
    },
}

/// What the page is told, and its answer must fit.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) tenant: TenantName,
    pub(crate) aim: Aim,
    /// What the passkey signs.
    pub(crate) challenge: Fixed<32>,
}

/// What came of it, for whoever has the code and the verifier.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Verified, and not yet kept.
    Saved(Box<NewPasskey>),
    /// A passkey signed.
    SignedIn {
        /// Whose.
        account: AccountId,
        /// As asked.
        elsewhere: Option<DeviceName>,
    },
}

#[derive(Debug)]
enum State {
    Asked(Question),
    Answered { code: Fixed<16>, outcome: Outcome },
}

#[derive(Debug)]
struct Ticket {
    until: u64,
    /// Of the program's verifier.
    challenge: Fixed<32>,
    state: State,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tickets: HashMap<Fixed<16>, Ticket>,
    order: VecDeque<Fixed<16>>,
}

impl Inner {
    /// One that is still good.
    fn live(&mut self, session: &Fixed<16>, now: u64) -> Option<&mut Ticket> {
        self.tickets
            .get_mut(session)
            .filter(|ticket| now < ticket.until)
    }
}

impl Tickets {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins one.
    pub(crate) fn begin(
        &self,
        session: Fixed<16>,
        challenge: Fixed<32>,
        question: Question,
        now: u64,
    ) {
        self.with(|inner| {
            while let Some(oldest) = inner.order.front().copied()
                && (inner.order.len() >= MOST || inner.live(&oldest, now).is_none())
            {
                inner.order.pop_front();
                inner.tickets.remove(&oldest);
            }
            inner.order.push_back(session);
            let ticket = Ticket {
                until: now.saturating_add(LIFE_MS),
                challenge,
                state: State::Asked(question),
            };
            inner.tickets.insert(session, ticket);
        });
    }

    /// What the page is to ask for, as often as it is loaded.
    pub(crate) fn question(&self, session: &Fixed<16>, now: u64) -> Option<Question> {
        self.with(|inner| match &inner.live(session, now)?.state {
            State::Asked(question) => Some(question.clone()),
            State::Answered { .. } => None,
        })
    }

    /// Takes the question away: whatever the answer to it is, there is no second one.
    pub(crate) fn answered(&self, session: &Fixed<16>, now: u64) -> Option<(Question, Fixed<32>)> {
        self.with(|inner| {
            let ticket = inner.tickets.remove(session)?;
            let Ticket {
                until,
                challenge,
                state,
            } = ticket;
            match state {
                State::Asked(question) if now < until => Some((question, challenge)),
                State::Asked(_) => None,
                State::Answered { code, outcome } => {
                    // Somebody answers again: the program's part goes on.
                    let state = State::Answered { code, outcome };
                    let ticket = Ticket {
                        until,
                        challenge,
                        state,
                    };
                    inner.tickets.insert(*session, ticket);
                    None
                }
            }
        })
    }

    /// Keeps what a verified answer gave, for the program.
    pub(crate) fn keep(
        &self,
        session: Fixed<16>,
        challenge: Fixed<32>,
        code: Fixed<16>,
        outcome: Outcome,
        now: u64,
    ) {
        let ticket = Ticket {
            until: now.saturating_add(LIFE_MS),
            challenge,
            state: State::Answered { code, outcome },
        };
        self.with(|inner| inner.tickets.insert(session, ticket));
    }

    /// Ends one: gives what came of it to whoever has code and verifier. A wrong one ends it, too.
    pub(crate) fn finish(
        &self,
        session: &Fixed<16>,
        code: &Fixed<16>,
        verifier: &Verifier,
        now: u64,
    ) -> Result<Outcome, Code> {
        let ticket = self.with(|inner| inner.tickets.remove(session));
        match ticket {
            Some(Ticket {
                until,
                challenge,
                state:
                    State::Answered {
                        code: given,
                        outcome,
                    },
            }) if now < until && given == *code && verifier.challenge() == challenge => Ok(outcome),
            _ => Err(Code::NotLetIn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Fixed<16> = Fixed([1; 16]);
    const CODE: Fixed<16> = Fixed([2; 16]);
    const VERIFIER: Verifier = Verifier(Fixed([3; 32]));

    fn begun() -> Tickets {
        let tickets = Tickets::default();
        let question = Question {
            tenant: TenantName::new("a").unwrap(),
            aim: Aim::SignIn { elsewhere: None },
            challenge: Fixed([4; 32]),
        };
        tickets.begin(SESSION, VERIFIER.challenge(), question, 0);
        tickets
    }

    fn kept() -> Tickets {
        let tickets = begun();
        let (_, challenge) = tickets.answered(&SESSION, 1).unwrap();
        let outcome = Outcome::SignedIn {
            account: Fixed([5; 16]),
            elsewhere: None,
        };
        tickets.keep(SESSION, challenge, CODE, outcome, 1);
        tickets
    }

    #[test]
    fn a_question_is_shown_often_and_answered_once() {
        let tickets = begun();
        for now in [0, LIFE_MS - 1] {
            assert!(tickets.question(&SESSION, now).is_some());
        }
        assert!(tickets.question(&SESSION, LIFE_MS).is_none());
        assert!(tickets.answered(&SESSION, 1).is_some());
        assert!(tickets.answered(&SESSION, 1).is_none());
        assert!(tickets.question(&SESSION, 1).is_none());
        assert!(begun().answered(&SESSION, LIFE_MS).is_none());
    }

    #[test]
    fn a_code_is_worth_nothing_without_its_verifier_and_is_good_once() {
        let tickets = kept();
        assert!(tickets.finish(&SESSION, &CODE, &VERIFIER, 2).is_ok());
        assert!(tickets.finish(&SESSION, &CODE, &VERIFIER, 2).is_err());
        let other = Verifier(Fixed([6; 32]));
        let tickets = kept();
        assert!(tickets.finish(&SESSION, &CODE, &other, 2).is_err());
        // Who guessed wrong has no second guess.
        assert!(tickets.finish(&SESSION, &CODE, &VERIFIER, 2).is_err());
        assert!(
            kept()
                .finish(&SESSION, &Fixed([9; 16]), &VERIFIER, 2)
                .is_err()
        );
        assert!(
            kept()
                .finish(&SESSION, &CODE, &VERIFIER, LIFE_MS + 1)
                .is_err()
        );
        assert!(begun().finish(&SESSION, &CODE, &VERIFIER, 1).is_err());
    }

    #[test]
    fn a_second_answer_takes_nothing_from_the_first() {
        let tickets = kept();
        assert!(tickets.answered(&SESSION, 2).is_none());
        assert!(tickets.finish(&SESSION, &CODE, &VERIFIER, 2).is_ok());
    }

    #[test]
    fn what_is_over_leaves_memory() {
        let tickets = begun();
        let question = tickets.question(&SESSION, 0).unwrap();
        tickets.begin(Fixed([7; 16]), Fixed([0; 32]), question, LIFE_MS);
        let inner = tickets.0.lock().unwrap();
        assert_eq!((inner.tickets.len(), inner.order.len()), (1, 1));
    }
}
