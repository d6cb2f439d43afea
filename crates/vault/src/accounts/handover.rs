//! The relay of hand-overs: sessions in memory, between a program without a browser and the page on another device.
//! It passes on public keys and sealed bytes, and learns nothing from them.

use std::sync::{Mutex, PoisonError};

use heirloom_vault_api::{
    AccountId, Bytes, Code, Fixed, HandoverAnswer, HandoverAsk, HandoverKeys, HandoverSealed,
    HandoverState, HandoverView,
};

use super::coded::{Coded, Ids};

/// More are not under way at a time, for all accounts and for one; the oldest goes. Each is at most 34 KiB.
const MOST: usize = 1_000;
const MOST_OF_ACCOUNT: usize = 4;
/// The same for programs that are not signed in: kept apart, so that strangers push out strangers alone.
const MOST_OF_STRANGERS: usize = 500;

/// Whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// A program that is signed in: it asks for a passkey of a backup.
    Account(AccountId),
    /// One that is not yet: its page signs in, and asks for nothing else.
    SignIn(Fixed<16>),
}

#[derive(Debug)]
struct Session {
    /// The program's.
    ticket: Fixed<16>,
    of: Of,
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
    of_accounts: Coded<Session>,
    of_strangers: Coded<Session>,
}

impl Inner {
    /// Where a new one goes, with room for it: what is over is forgotten, and the oldest where there are too many.
    fn room(&mut self, of: Of, now: u64) -> &mut Coded<Session> {
        self.of_strangers.sweep(MOST_OF_STRANGERS, now);
        self.of_accounts.sweep(MOST, now);
        let Of::Account(_) = of else {
            return &mut self.of_strangers;
        };
        let of_account = self.of_accounts.all_where(|session| session.of == of);
        let too_many = (of_account.len() + 1).saturating_sub(MOST_OF_ACCOUNT);
        for oldest in of_account.iter().take(too_many) {
            self.of_accounts.forget(oldest);
        }
        &mut self.of_accounts
    }

    fn live(&mut self, session: &Fixed<16>, now: u64) -> Result<&mut Session, Code> {
        match self.of_accounts.live(session, now) {
            Ok(session) => Ok(session),
            Err(_) => self.of_strangers.live(session, now),
        }
    }

    /// The session, for its program.
    fn of_program(
        &mut self,
        session: &Fixed<16>,
        ticket: &Fixed<16>,
        now: u64,
    ) -> Result<&mut Session, Code> {
        let session = self.live(session, now)?;
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
        of: Of,
        keys: HandoverKeys,
        now: u64,
    ) -> Result<String, Code> {
        self.with(|inner| {
            let begun = Session {
                ticket: ids.ticket,
                of,
                keys,
                number: 0,
                request: None,
                seen: 0,
                answer: None,
            };
            inner.room(of, now).begin(&ids, begun, now)
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
            inner.of_accounts.forget(session);
            inner.of_strangers.forget(session);
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
            let session = inner.live(session, now)?;
            let request = session.request.clone();
            session.seen = session.number;
            Ok(HandoverView {
                keys: session.keys.clone(),
                number: session.number,
                request: request.filter(|_| session.number > after),
                sign_in: match session.of {
                    Of::Account(_) => None,
                    Of::SignIn(sign_in) => Some(sign_in),
                },
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
            let session = inner.live(&session, now)?;
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
            let session = inner.of_accounts.by_code(typed);
            let session = session.or_else(|_| inner.of_strangers.by_code(typed))?;
            inner.live(&session, now).map(drop)
        })
    }
}

#[cfg(test)]
mod tests;
