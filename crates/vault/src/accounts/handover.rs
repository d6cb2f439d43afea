//! The relay of hand-overs: sessions in memory, between a program without a browser and the page on another device.
//! It passes on public keys and sealed bytes, and learns nothing from them.

use std::sync::{Mutex, PoisonError};

use heirloom_vault_api::{
    AccountId, Bytes, Code, Fixed, HandoverAnswer, HandoverAsk, HandoverKeys, HandoverSealed,
    HandoverState, HandoverView,
};

use super::coded::{Coded, Ids};

/// More are not under way at a time, for all and for one account; the oldest goes. Each is at most 34 KiB.
const MOST: usize = 1_000;
const MOST_OF_ACCOUNT: usize = 4;

#[derive(Debug)]
struct Session {
    /// The program's.
    ticket: Fixed<16>,
    account: AccountId,
    keys: HandoverKeys,
    /// Of the request in force; 0 for none.
    number: u64,
    request: Option<Bytes<16384>>,
    /// The newest that a page has fetched.
    seen: u64,
    /// To the request in force.
    answer: Option<HandoverSealed>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Handovers(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: Coded<Session>,
}

impl Inner {
    /// Forgets what is over, and the oldest where there are too many.
    fn sweep(&mut self, account: &AccountId, now: u64) {
        self.all.sweep(MOST, now);
        let of_account = self.all.all_where(|session| session.account == *account);
        let too_many = (of_account.len() + 1).saturating_sub(MOST_OF_ACCOUNT);
        for oldest in of_account.iter().take(too_many) {
            self.all.forget(oldest);
        }
    }

    /// The session, for its program.
    fn of_program(
        &mut self,
        session: &Fixed<16>,
        ticket: &Fixed<16>,
        now: u64,
    ) -> Result<&mut Session, Code> {
        let session = self.all.live(session, now)?;
        (session.ticket == *ticket)
            .then_some(session)
            .ok_or(Code::NotFound)
    }
}

impl Handovers {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a session and gives its code.
    pub(crate) fn begin(
        &self,
        ids: Ids,
        account: AccountId,
        keys: HandoverKeys,
        now: u64,
    ) -> Result<String, Code> {
        self.with(|inner| {
            inner.sweep(&account, now);
            let begun = Session {
                ticket: ids.ticket,
                account,
                keys,
                number: 0,
                request: None,
                seen: 0,
                answer: None,
            };
            inner.all.begin(&ids, begun, now)
        })
    }

    /// The program's next request; the one before and its answer are gone.
    pub(crate) fn ask(&self, ask: HandoverAsk, now: u64) -> Result<(), Code> {
        let HandoverAsk {
            session,
            ticket,
            number,
            request,
        } = ask;
        self.with(|inner| {
            let session = inner.of_program(&session, &ticket, now)?;
            if number <= session.number {
                return Err(Code::Conflict);
            }
            session.number = number;
            session.request = Some(request);
            session.answer = None;
            Ok(())
        })
    }

    /// How far the page is, for the program.
    pub(crate) fn state(
        &self,
        session: &Fixed<16>,
        ticket: &Fixed<16>,
        now: u64,
    ) -> Result<HandoverState, Code> {
        self.with(|inner| {
            let session = inner.of_program(session, ticket, now)?;
            Ok(HandoverState {
                seen: session.seen,
                answer: session.answer.clone(),
            })
        })
    }

    /// The program has what it needs.
    pub(crate) fn end(
        &self,
        session: &Fixed<16>,
        ticket: &Fixed<16>,
        now: u64,
    ) -> Result<(), Code> {
        self.with(|inner| {
            inner.of_program(session, ticket, now)?;
            inner.all.forget(session);
            Ok(())
        })
    }

    /// What the page is to show, for whoever knows the session.
    pub(crate) fn look(
        &self,
        session: &Fixed<16>,
        after: u64,
        now: u64,
    ) -> Result<HandoverView, Code> {
        self.with(|inner| {
            let session = inner.all.live(session, now)?;
            let request = session.request.clone();
            session.seen = session.number;
            Ok(HandoverView {
                keys: session.keys.clone(),
                number: session.number,
                request: request.filter(|_| session.number > after),
            })
        })
    }

    /// The page's answer, once for each request.
    pub(crate) fn answer(&self, answer: HandoverAnswer, now: u64) -> Result<(), Code> {
        let HandoverAnswer {
            session,
            number,
            answer,
        } = answer;
        self.with(|inner| {
            let session = inner.all.live(&session, now)?;
            if session.number != number || session.answer.is_some() || number == 0 {
                return Err(Code::Conflict);
            }
            session.answer = Some(answer);
            Ok(())
        })
    }

    /// Whether somebody waits under a code that was typed. It tells no more: a code only selects.
    pub(crate) fn find(&self, typed: &str, now: u64) -> Result<(), Code> {
        self.with(|inner| {
            let session = inner.all.by_code(typed)?;
            inner.all.live(&session, now).map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::coded::LIFE_MS;
    use super::*;

    const ACCOUNT: AccountId = Fixed([9; 16]);
    const TICKET: Fixed<16> = Fixed([2; 16]);

    fn keys() -> HandoverKeys {
        HandoverKeys {
            x_wing: Fixed([3; 1216]),
            x25519: Fixed([4; 32]),
        }
    }

    fn begin(
        handovers: &Handovers,
        number: u8,
        account: AccountId,
        now: u64,
    ) -> (Fixed<16>, String) {
        let ids = Ids {
            session: Fixed([number; 16]),
            ticket: TICKET,
            code: Fixed([number; 16]),
        };
        let code = handovers.begin(ids, account, keys(), now).unwrap();
        (ids.session, code)
    }

    fn ask(handovers: &Handovers, session: Fixed<16>, number: u64) -> Result<(), Code> {
        let request = Bytes::new(vec![5; 100]).unwrap();
        let ticket = TICKET;
        let ask = HandoverAsk {
            session,
            ticket,
            number,
            request,
        };
        handovers.ask(ask, 1)
    }

    fn sealed(byte: u8) -> HandoverSealed {
        HandoverSealed {
            suite: 32,
            encapsulated: Bytes::new(vec![byte; 32]).unwrap(),
            sealed: Bytes::new(vec![byte; 64]).unwrap(),
        }
    }

    fn answer(
        handovers: &Handovers,
        session: Fixed<16>,
        number: u64,
        byte: u8,
    ) -> Result<(), Code> {
        let answer = sealed(byte);
        let answer = HandoverAnswer {
            session,
            number,
            answer,
        };
        handovers.answer(answer, 1)
    }

    #[test]
    fn a_request_takes_one_answer_and_a_new_request_another_one() {
        let handovers = Handovers::default();
        let (session, _) = begin(&handovers, 1, ACCOUNT, 0);
        assert_eq!(
            answer(&handovers, session, 0, 1),
            Err(Code::Conflict),
            "nothing was asked"
        );
        ask(&handovers, session, 1).unwrap();
        let view = handovers.look(&session, 0, 1).unwrap();
        assert_eq!((view.number, view.request.is_some()), (1, true));
        assert_eq!(handovers.look(&session, 1, 1).unwrap().request, None);
        assert_eq!(
            answer(&handovers, session, 2, 1),
            Err(Code::Conflict),
            "not asked yet"
        );
        answer(&handovers, session, 1, 1).unwrap();
        assert_eq!(
            answer(&handovers, session, 1, 2),
            Err(Code::Conflict),
            "a second answer"
        );
        let state = handovers.state(&session, &TICKET, 1).unwrap();
        assert_eq!((state.seen, state.answer), (1, Some(sealed(1))));
        assert_eq!(
            ask(&handovers, session, 1),
            Err(Code::Conflict),
            "a number again"
        );
        ask(&handovers, session, 3).unwrap();
        assert_eq!(handovers.state(&session, &TICKET, 1).unwrap().answer, None);
        assert_eq!(
            answer(&handovers, session, 1, 1),
            Err(Code::Conflict),
            "an answer to what is over"
        );
        answer(&handovers, session, 3, 3).unwrap();
    }

    #[test]
    fn only_the_program_asks_waits_and_ends() {
        let handovers = Handovers::default();
        let (session, _) = begin(&handovers, 1, ACCOUNT, 0);
        let other = Fixed([7; 16]);
        let request = Bytes::new(vec![5; 100]).unwrap();
        let foreign = HandoverAsk {
            session,
            ticket: other,
            number: 1,
            request,
        };
        assert_eq!(handovers.ask(foreign, 1), Err(Code::NotFound));
        assert_eq!(handovers.state(&session, &other, 1), Err(Code::NotFound));
        assert_eq!(handovers.end(&session, &other, 1), Err(Code::NotFound));
        handovers.end(&session, &TICKET, 1).unwrap();
        assert_eq!(handovers.look(&session, 0, 1), Err(Code::NotFound));
    }

    #[test]
    fn a_session_is_over_after_ten_minutes_for_everybody() {
        let handovers = Handovers::default();
        let (session, code) = begin(&handovers, 1, ACCOUNT, 0);
        ask(&handovers, session, 1).unwrap();
        handovers.find(&code, LIFE_MS - 1).unwrap();
        handovers.look(&session, 0, LIFE_MS - 1).unwrap();
        assert_eq!(handovers.find(&code, LIFE_MS), Err(Code::NotFound));
        assert_eq!(handovers.look(&session, 0, LIFE_MS), Err(Code::NotFound));
        assert_eq!(
            handovers.state(&session, &TICKET, LIFE_MS),
            Err(Code::NotFound)
        );
        let late = HandoverAnswer {
            session,
            number: 1,
            answer: sealed(1),
        };
        assert_eq!(handovers.answer(late, LIFE_MS), Err(Code::NotFound));
    }

    #[test]
    fn a_typed_code_tells_that_somebody_waits_and_nothing_else() {
        let handovers = Handovers::default();
        let (_, code) = begin(&handovers, 1, ACCOUNT, 0);
        assert_eq!(
            handovers.find(&code.to_lowercase().replace('-', " "), 1),
            Ok(())
        );
        assert_eq!(handovers.find("BBBB-BBBB", 1), Err(Code::NotFound));
        assert_eq!(handovers.find("", 1), Err(Code::NotFound));
    }

    #[test]
    fn an_account_has_four_at_a_time_and_what_is_over_leaves_memory() {
        let handovers = Handovers::default();
        let (of_other, _) = begin(&handovers, 100, Fixed([8; 16]), 0);
        let mine: Vec<_> = (1..=5)
            .map(|number| begin(&handovers, number, ACCOUNT, 0).0)
            .collect();
        assert_eq!(
            handovers.look(&mine[0], 0, 1),
            Err(Code::NotFound),
            "the oldest went"
        );
        for session in &mine[1..] {
            handovers.look(session, 0, 1).unwrap();
        }
        handovers.look(&of_other, 0, 1).unwrap();
        begin(&handovers, 50, ACCOUNT, LIFE_MS);
        let inner = handovers.0.lock().unwrap();
        assert_eq!(inner.all.sizes(), (1, 1, 1));
    }
}
