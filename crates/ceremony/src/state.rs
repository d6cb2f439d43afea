//! What the session's thread and the server's share.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::message::Message;
use crate::seal::Secret;

/// How long a page may be silent before it counts as closed, where it said nothing.
const SILENCE: Duration = Duration::from_secs(10);
/// The same after it said that it goes: a reload comes back within this time.
const GONE: Duration = Duration::from_secs(4);

/// A page that is there asks again within this time.
const BETWEEN_POLLS: Duration = Duration::from_millis(500);

/// Shared between the session, which blocks, and the routes.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// Wakes the session: an answer, a page that came or went.
    changed: Condvar,
    /// Wakes the page's polls: the number of the newest view.
    turned: watch::Sender<u64>,
    port: u16,
}

#[derive(Debug)]
pub(crate) struct Inner {
    /// Until it is used.
    pub(crate) token: Option<Secret>,
    /// The page's key, until the page was given.
    pub(crate) page: Option<Secret>,
    pub(crate) cookie: Secret,
    pub(crate) bearer: Secret,
    /// The opening file, until it is used.
    pub(crate) opening: Option<PathBuf>,
    /// What the page shows, as JSON, and its number.
    view: (u64, Text),
    /// The newest view that a page has got.
    seen_view: u64,
    /// The step whose answer is still to come.
    awaited: Option<u64>,
    answer: Option<Message>,
    /// Open polls; while there is one the page is there.
    polls: usize,
    last_seen: Option<Instant>,
    leaving: bool,
    /// The browser goes to another page and comes back: silence means nothing.
    patient: bool,
    over: bool,
}

/// A view as the page gets it: the address of a server's page in it holds a secret.
#[derive(Default)]
struct Text(Zeroizing<String>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Text([REDACTED])")
    }
}

impl Inner {
    /// Whether the page that was there counts as closed.
    fn is_quiet(&self, now: Instant) -> bool {
        let patience = if self.leaving { GONE } else { SILENCE };
        !self.patient
            && self.polls == 0
            && self
                .last_seen
                .is_some_and(|seen| now.duration_since(seen) > patience)
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is the answer.
    Yes,
    /// Its step was answered, or never asked.
    Used,
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    TimedOut,
    PageClosed,
}

impl Shared {
    pub(crate) fn new(
        port: u16,
        token: Secret,
        cookie: Secret,
        opening: PathBuf,
        patient: bool,
    ) -> Self {
        let page = token.derive_page();
        let bearer = page.derive_bearer();
        Self {
            inner: Mutex::new(Inner {
                token: Some(token),
                page: Some(page),
                cookie,
                bearer,
                opening: Some(opening),
                view: (0, Text::default()),
                seen_view: 0,
                awaited: None,
                answer: None,
                polls: 0,
                last_seen: None,
                leaving: false,
                patient,
                over: false,
            }),
            changed: Condvar::new(),
            turned: watch::Sender::new(0),
            port,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A panic elsewhere leaves nothing half done in here: each change is one assignment.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a view; `awaits` says whether it is a step that is to be answered, once.
    pub(crate) fn show(&self, number: u64, view: String, awaits: bool) {
        let mut inner = self.lock();
        inner.view = (number, Text(Zeroizing::new(view)));
        inner.awaited = awaits.then_some(number);
        inner.answer = None;
        drop(inner);
        self.turned.send_replace(number);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.turned.subscribe()
    }

    /// The view after number `after`, if there is one.
    pub(crate) fn view_after(&self, after: Option<u64>) -> Option<String> {
        let mut inner = self.lock();
        let (number, _) = inner.view;
        if after == Some(number) || inner.view.1.0.is_empty() {
            return None;
        }
        inner.seen_view = number;
        self.changed.notify_all();
        Some(inner.view.1.0.to_string())
    }

    /// The page is there.
    pub(crate) fn alive(&self) {
        let mut inner = self.lock();
        inner.last_seen = Some(Instant::now());
        inner.leaving = false;
    }

    /// The page says that it goes. It may come back: a reload looks the same.
    pub(crate) fn leaving(&self) {
        let mut inner = self.lock();
        inner.last_seen = Some(Instant::now());
        inner.leaving = true;
    }

    /// Counts a poll for as long as the returned value lives.
    pub(crate) fn poll(&self) -> Poll<'_> {
        self.alive();
        self.lock().polls += 1;
        Poll(self)
    }

    /// Takes a message if its step awaits one; once.
    pub(crate) fn answer(&self, message: Message) -> Taken {
        let mut inner = self.lock();
        if inner.awaited != Some(message.step) {
            return Taken::Used;
        }
        inner.awaited = None;
        inner.answer = Some(message);
        self.changed.notify_all();
        Taken::Yes
    }

    /// Blocks until the step is answered, the page is gone, or `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) -> Result<Message, Silence> {
        let mut inner = self.lock();
        loop {
            if let Some(message) = inner.answer.take() {
                return Ok(message);
            }
            let now = Instant::now();
            if now >= deadline || inner.is_quiet(now) {
                inner.awaited = None;
                return Err(if now >= deadline {
                    Silence::TimedOut
                } else {
                    Silence::PageClosed
                });
            }
            let pause = deadline.duration_since(now).min(Duration::from_millis(200));
            inner = self
                .changed
                .wait_timeout(inner, pause)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Blocks until a page has got the newest view, none is there, or the time is over.
    pub(crate) fn wait_seen(&self, most: Duration) {
        let deadline = Instant::now() + most;
        let mut inner = self.lock();
        while inner.seen_view < inner.view.0 {
            let now = Instant::now();
            let there = inner.polls > 0
                || inner
                    .last_seen
                    .is_some_and(|seen| now.duration_since(seen) < BETWEEN_POLLS);
            if now >= deadline || !there {
                return;
            }
            inner = self
                .changed
                .wait_timeout(inner, Duration::from_millis(50))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether the server is to stop.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Stops the server.
    pub(crate) fn stop(&self) {
        self.lock().over = true;
        self.turned.send_replace(u64::MAX);
    }
}

/// An open poll. Dropped when it is answered, or when the connection is: a closed tab is seen at once.
#[derive(Debug)]
pub(crate) struct Poll<'a>(&'a Shared);

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.polls = inner.polls.saturating_sub(1);
        inner.last_seen = Some(Instant::now());
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Said;

    fn shared() -> Shared {
        let mut rng = crate::testing::rng(1);
        let (token, cookie) = (Secret::generate(&mut rng), Secret::generate(&mut rng));
        Shared::new(1, token, cookie, PathBuf::new(), false)
    }

    fn cancelled(step: u64) -> Message {
        let said = Said::Cancelled;
        Message { step, said }
    }

    #[test]
    fn a_step_takes_one_answer() {
        let shared = shared();
        shared.show(1, "{}".to_owned(), true);
        assert_eq!(shared.answer(cancelled(2)), Taken::Used);
        assert_eq!(shared.answer(cancelled(1)), Taken::Yes);
        assert_eq!(shared.answer(cancelled(1)), Taken::Used);
        let soon = Instant::now() + Duration::from_secs(1);
        assert_eq!(shared.wait(soon), Ok(cancelled(1)));
        assert_eq!(shared.answer(cancelled(1)), Taken::Used);
    }

    #[test]
    fn nobody_there_is_a_time_out_and_no_closed_page() {
        let shared = shared();
        shared.show(1, "{}".to_owned(), true);
        let soon = Instant::now() + Duration::from_millis(30);
        assert_eq!(shared.wait(soon), Err(Silence::TimedOut));
        assert_eq!(shared.answer(cancelled(1)), Taken::Used);
    }

    /// Whether the page counts as closed so long after it was seen.
    fn is_quiet_after(shared: &Shared, time: Duration) -> bool {
        let inner = shared.lock();
        inner.is_quiet(inner.last_seen.unwrap() + time)
    }

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn a_page_that_left_and_stays_away_is_closed() {
        let shared = shared();
        shared.show(1, "{}".to_owned(), true);
        assert!(!shared.lock().is_quiet(Instant::now() + 2 * SILENCE));
        drop(shared.poll());
        assert!(!is_quiet_after(&shared, SILENCE));
        assert!(is_quiet_after(&shared, SILENCE + MOMENT));
        shared.leaving();
        assert!(!is_quiet_after(&shared, GONE));
        assert!(is_quiet_after(&shared, GONE + MOMENT));
    }

    #[test]
    fn a_page_that_still_polls_is_there() {
        let shared = shared();
        shared.show(1, "{}".to_owned(), true);
        let poll = shared.poll();
        shared.leaving();
        assert!(!is_quiet_after(&shared, 2 * SILENCE));
        drop(poll);
        assert!(is_quiet_after(&shared, 2 * SILENCE));
    }
}
