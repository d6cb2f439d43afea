//! Sessions in memory that a short code selects: for relays between two devices.

use std::collections::{HashMap, VecDeque};

use heirloom_vault_api::{Code, Fixed};

/// From the first request to the last.
pub(super) const LIFE_MS: u64 = 10 * 60_000;
/// Letters of a code: none that is taken for another, and no vowels.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_LETTERS: usize = 8;

/// A session's ids, made by the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids {
    pub(crate) session: Fixed<16>,
    pub(crate) ticket: Fixed<16>,
    /// What the code is made of.
    pub(crate) code: Fixed<16>,
}

#[derive(Debug)]
struct Live<S> {
    until: u64,
    code: String,
    of: S,
}

/// All of one kind.
#[derive(Debug)]
pub(super) struct Coded<S> {
    sessions: HashMap<Fixed<16>, Live<S>>,
    by_code: HashMap<String, Fixed<16>>,
    order: VecDeque<Fixed<16>>,
}

impl<S> Default for Coded<S> {
    fn default() -> Self {
        Self {
            sessions: HashMap::new(),
            by_code: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<S> Coded<S> {
    /// Forgets what is over, and the oldest until there are fewer than `most`.
    pub(super) fn sweep(&mut self, most: usize, now: u64) {
        while let Some(oldest) = self.order.front().copied()
            && (self.order.len() >= most || self.live(&oldest, now).is_err())
        {
            self.forget(&oldest);
        }
    }

    /// Begins a session and gives its code, as it is shown.
    pub(super) fn begin(&mut self, ids: &Ids, of: S, now: u64) -> Result<String, Code> {
        let shown = code(&ids.code);
        let code = plain(&shown);
        // One chance in millions: whoever asks again gets another one.
        if self.by_code.contains_key(&code) {
            return Err(Code::Unavailable);
        }
        self.order.push_back(ids.session);
        self.by_code.insert(code.clone(), ids.session);
        let until = now.saturating_add(LIFE_MS);
        self.sessions.insert(ids.session, Live { until, code, of });
        Ok(shown)
    }

    pub(super) fn live(&mut self, session: &Fixed<16>, now: u64) -> Result<&mut S, Code> {
        let session = self.sessions.get_mut(session);
        session
            .filter(|session| now < session.until)
            .map(|session| &mut session.of)
            .ok_or(Code::NotFound)
    }

    /// Which session has this code, as somebody typed it.
    pub(super) fn by_code(&self, typed: &str) -> Result<Fixed<16>, Code> {
        let session = self.by_code.get(&plain(typed)).copied();
        session.ok_or(Code::NotFound)
    }

    /// Nobody finds it by its code any more.
    pub(super) fn hide(&mut self, session: &Fixed<16>) {
        if let Some(session) = self.sessions.get(session) {
            self.by_code.remove(&session.code);
        }
    }

    pub(super) fn forget(&mut self, session: &Fixed<16>) {
        self.hide(session);
        self.sessions.remove(session);
        self.order.retain(|other| other != session);
    }

    /// Those that fit, the oldest first.
    pub(super) fn all_where(&self, fits: impl Fn(&S) -> bool) -> Vec<Fixed<16>> {
        let ids = self.order.iter();
        ids.filter(|id| {
            let session = self.sessions.get(*id);
            session.is_some_and(|session| fits(&session.of))
        })
        .copied()
        .collect()
    }

    /// Sessions, codes, places in the order.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.sessions.len(), self.by_code.len(), self.order.len())
    }
}

/// Eight letters in two groups.
fn code(random: &Fixed<16>) -> String {
    let mut number = random
        .0
        .iter()
        .fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
    let mut letters = String::with_capacity(CODE_LETTERS + 1);
    for at in 0..CODE_LETTERS {
        if at == CODE_LETTERS / 2 {
            letters.push('-');
        }
        let letter = usize::try_from(number % 20).unwrap_or_default();
        letters.push(LETTERS.get(letter).copied().map_or('B', char::from));
        number /= 20;
    }
    letters
}

/// As it is kept: what a person typed in small letters or without the `-` is the same.
fn plain(code: &str) -> String {
    code.chars()
        .filter(char::is_ascii_alphabetic)
        .map(|c| c.to_ascii_uppercase())
        .take(CODE_LETTERS + 1)
        .collect()
}
