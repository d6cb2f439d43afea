//! Looks at what may hang: each ends in a bounded time, and leaves at most one question open.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// For a look. Shorter than what a database or an HSM is given to do its work: who asks is about to ask again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether something answers, asked by any number at a time.
///
/// Who does not get an answer in time is told `false`, and what was asked is left to end by itself. Until then nobody
/// asks again: what hangs for an hour would else hold an hour's questions. Who waits takes the answer to a question
/// that was asked after they came, so that none is older than its request, and none waits for more than two.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    patience: Duration,
    turn: Arc<Semaphore>,
    /// When the last question was asked that has an answer, and what it is.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Default for Look {
    fn default() -> Self {
        Self::within(PATIENCE)
    }
}

impl Look {
    pub(crate) fn within(patience: Duration) -> Self {
        Self {
            patience,
            turn: Arc::new(Semaphore::new(1)),
            last: Arc::default(),
        }
    }

    pub(crate) async fn ask(&self, question: impl Future<Output = bool> + Send + 'static) -> bool {
        let found = tokio::time::timeout(self.patience, self.wait(question)).await;
        found.unwrap_or(false)
    }

    async fn wait(&self, question: impl Future<Output = bool> + Send + 'static) -> bool {
        let came = Instant::now();
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else {
            return false;
        };
        let known = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, found)) = known
            && asked >= came
        {
            return found;
        }
        let last = Arc::clone(&self.last);
        // A task of its own: who asked may be gone before it is over, and its turn ends with it.
        let asked = tokio::spawn(async move {
            let at = Instant::now();
            let found = question.await;
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, found));
            drop(turn);
            found
        });
        asked.await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_hangs_is_asked_once_and_everybody_is_answered() {
        let look = Look::within(Duration::from_millis(20));
        let asked = Arc::new(AtomicU32::new(0));
        for _ in 0..3 {
            let asked = Arc::clone(&asked);
            let found = look.ask(async move {
                asked.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            });
            assert!(!found.await);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn many_at_a_time_share_two_questions_and_no_answer_is_older_than_who_asked() {
        let look = Look::default();
        let asked = Arc::new(AtomicU32::new(0));
        let question = |found| {
            let asked = Arc::clone(&asked);
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                found
            }
        };
        let many = (0..50).map(|_| look.ask(question(true)));
        let found = futures_util::future::join_all(many).await;
        assert!(found.iter().all(|found| *found));
        assert!(asked.load(Ordering::SeqCst) <= 2);
        assert!(!look.ask(question(false)).await);
        assert!(look.ask(question(true)).await);
    }
}
