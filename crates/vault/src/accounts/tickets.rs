//! Sign-ins that are under way between a program, the page and this server: in memory, each good for one answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use heirloom_vault_api::{AccountId, Code, DeviceName, Fixed, TenantName, Verifier};

use crate::store::passkey::NewPasskey;

/// From the first request to the last.
const LIFE_MS: u64 = 5 * 60_000;
/// More of strangers are not under way at a time; the oldest goes.
const MOST_OF_STRANGERS: usize = 20_000;
/// The same of all accounts and of one: kept apart, so that strangers push out strangers alone. Each is at most
/// 20 KiB, for the passkeys that are there.
const MOST_OF_ACCOUNTS: usize = 4_000;
const MOST_OF_ACCOUNT: usize = 4;

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
        /// The passkey's credential id: one that is removed meanwhile signs nobody in.
        credential: Vec<u8>,
        /// Whose the passkey is.
        tenant: TenantName,
        /// As asked.
        elsewhere: Option<DeviceName>,
    },
}

#[derive(Debug)]
enum State {
    Asked(Question),
    /// An answer is being verified, or was wrong.
    Taken,
    Answered {
        code: Fixed<16>,
        outcome: Outcome,
    },
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
    /// All that are in `tickets`, the oldest first, and some that were ended.
    strangers: VecDeque<Fixed<16>>,
    accounts: VecDeque<(AccountId, Fixed<16>)>,
}

impl Inner {
    /// Makes room for one more of a stranger.
    fn room_of_strangers(&mut self, now: u64) {
        while let Some(oldest) = self.strangers.front().copied()
            && (self.strangers.len() >= MOST_OF_STRANGERS || self.live(&oldest, now).is_none())
        {
            self.strangers.pop_front();
            self.tickets.remove(&oldest);
        }
    }

    /// Makes room for one more of an account: its own oldest goes before another's.
    fn room_of(&mut self, account: &AccountId, now: u64) {
        let Self {
            tickets, accounts, ..
        } = self;
        accounts.retain(|(of, session)| of != account || tickets.contains_key(session));
        let own = |accounts: &VecDeque<(AccountId, Fixed<16>)>| {
            accounts.iter().filter(|(of, _)| of == account).count()
        };
        while own(accounts) >= MOST_OF_ACCOUNT
            && let Some(at) = accounts.iter().position(|(of, _)| of == account)
            && let Some((_, oldest)) = accounts.remove(at)
        {
            tickets.remove(&oldest);
        }
        while let Some((_, oldest)) = self.accounts.front().copied()
            && (self.accounts.len() >= MOST_OF_ACCOUNTS || self.live(&oldest, now).is_none())
        {
            self.accounts.pop_front();
            self.tickets.remove(&oldest);
        }
    }

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
            match question.aim {
                Aim::Save { account, .. } => {
                    inner.room_of(&account, now);
                    inner.accounts.push_back((account, session));
                }
                Aim::SignIn { .. } => {
                    inner.room_of_strangers(now);
                    inner.strangers.push_back(session);
                }
            }
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
            State::Taken | State::Answered { .. } => None,
        })
    }

    /// Takes the question away: whatever the answer to it is, there is no second one.
    pub(crate) fn answered(&self, session: &Fixed<16>, now: u64) -> Option<Question> {
        self.with(|inner| {
            let ticket = inner.live(session, now)?;
            match std::mem::replace(&mut ticket.state, State::Taken) {
                State::Asked(question) => Some(question),
                // Somebody answers again: the program's part goes on.
                before => {
                    ticket.state = before;
                    None
                }
            }
        })
    }

    /// Keeps what a verified answer gave, for the program; where the session was pushed out meanwhile it is lost.
    pub(crate) fn keep(&self, session: &Fixed<16>, code: Fixed<16>, outcome: Outcome, now: u64) {
        self.with(|inner| {
            if let Some(ticket) = inner.tickets.get_mut(session)
                && matches!(ticket.state, State::Taken)
            {
                ticket.until = now.saturating_add(LIFE_MS);
                ticket.state = State::Answered { code, outcome };
            }
        });
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
        tickets.answered(&SESSION, 1).unwrap();
        let outcome = Outcome::SignedIn {
            account: Fixed([5; 16]),
            credential: vec![6],
            tenant: TenantName::new("a").unwrap(),
            elsewhere: None,
        };
        tickets.keep(&SESSION, CODE, outcome, 1);
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
        assert_eq!((inner.tickets.len(), inner.strangers.len()), (1, 1));
    }

    fn of(account: u8) -> Question {
        Question {
            tenant: TenantName::new("a").unwrap(),
            aim: Aim::Save {
                account: Fixed([account; 16]),
                handle: Fixed([0; 32]),
                exclude: vec![vec![0; 1023]; 19],
            },
            challenge: Fixed([4; 32]),
        }
    }

    fn session(number: usize) -> Fixed<16> {
        Fixed(u128::try_from(number).unwrap().to_be_bytes())
    }

    fn begin(tickets: &Tickets, number: usize, question: Question) {
        tickets.begin(session(number), VERIFIER.challenge(), question, 0);
    }

    #[test]
    fn an_account_has_four_at_a_time_and_pushes_out_its_own() {
        let tickets = Tickets::default();
        begin(&tickets, 0, of(1));
        for number in 1..=100 {
            begin(&tickets, number, of(2));
            let inner = tickets.0.lock().unwrap();
            assert!(inner.tickets.len() <= 5 && inner.accounts.len() <= 5);
        }
        let live = |number| tickets.question(&session(number), 1).is_some();
        let all: Vec<_> = (0..=100).filter(|number| live(*number)).collect();
        assert_eq!(all, [0, 97, 98, 99, 100]);
        // Those that were ended are none of the four.
        assert!(tickets.finish(&session(100), &CODE, &VERIFIER, 1).is_err());
        begin(&tickets, 101, of(2));
        assert!(live(97) && live(101));
    }

    #[test]
    fn strangers_push_out_strangers_and_never_an_account() {
        let tickets = begun();
        let stranger = tickets.question(&SESSION, 0).unwrap();
        begin(&tickets, 0, of(1));
        for number in 1..=MOST_OF_STRANGERS {
            begin(&tickets, number, stranger.clone());
        }
        assert!(tickets.question(&SESSION, 1).is_none());
        assert!(tickets.question(&session(0), 1).is_some());
        let inner = tickets.0.lock().unwrap();
        assert_eq!(inner.strangers.len(), MOST_OF_STRANGERS);
        assert_eq!(inner.tickets.len(), MOST_OF_STRANGERS + 1);
    }

    #[test]
    fn what_is_kept_while_others_begin_leaves_memory_like_any_other() {
        let tickets = begun();
        let other = tickets.question(&SESSION, 0).unwrap();
        tickets.answered(&SESSION, 1).unwrap();
        begin(&tickets, 1, other.clone());
        let outcome = || Outcome::SignedIn {
            account: Fixed([5; 16]),
            credential: vec![6],
            tenant: TenantName::new("a").unwrap(),
            elsewhere: None,
        };
        tickets.keep(&SESSION, CODE, outcome(), 1);
        // One that was pushed out meanwhile is not put back.
        tickets.answered(&session(1), 1).unwrap();
        tickets.0.lock().unwrap().tickets.remove(&session(1));
        tickets.keep(&session(1), CODE, outcome(), 1);
        tickets.begin(session(2), VERIFIER.challenge(), other, 2 * LIFE_MS);
        let inner = tickets.0.lock().unwrap();
        assert_eq!((inner.tickets.len(), inner.strangers.len()), (1, 1));
    }
}
