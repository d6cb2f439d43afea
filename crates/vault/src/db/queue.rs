//! What waits for a writer. It is woken once for many, not by each: a thread that wakes for every operation costs
//! as much as the operation.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Beyond so many, what comes is refused.
const MOST: usize = 4096;
/// At most so many operations to a commit …
pub(crate) const BATCH: usize = 64;
/// … and no longer a wait for as many as the one before had: whoever asks alone never waits for others.
pub(crate) const COLLECT: Duration = Duration::from_millis(2);

/// Whom a task lets wait.
pub(crate) trait Kind {
    /// Whether it wakes the writer whatever else waits, and is the last of its group.
    fn is_alone(&self) -> bool;
}

#[derive(Debug)]
pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    enough: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    waiting: VecDeque<T>,
    /// How many the writer sleeps for; 0 while it is awake.
    wanted: usize,
    is_closed: bool,
}

/// Held by the one who takes: however it ends, nobody waits for it.
pub(crate) struct Taking<'a, T: Kind>(pub(crate) &'a Queue<T>);

impl<T: Kind> Drop for Taking<'_, T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<T: Kind> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                waiting: VecDeque::new(),
                wanted: 0,
                is_closed: false,
            }),
            enough: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task, or gives it back: too many wait, or nobody takes them any more.
    pub(crate) fn put(&self, task: T) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.is_closed || inner.waiting.len() >= MOST {
            return Err(task);
        }
        let is_alone = task.is_alone();
        inner.waiting.push_back(task);
        let is_enough = inner.wanted > 0 && (is_alone || inner.waiting.len() >= inner.wanted);
        drop(inner);
        if is_enough {
            self.enough.notify_one();
        }
        Ok(())
    }

    /// Whoever takes gets what waits, and then nothing.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.enough.notify_one();
    }

    /// Nobody takes any more: what waits is dropped, and nothing more may wait.
    fn abandon(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        drop(waiting);
    }

    /// Takes what waits, at most `most`, or up to one that is alone. Waits for the first as long as it takes, and then
    /// no longer than `patience` until `usual` are there. Empty: the queue was closed.
    pub(crate) fn take(&self, usual: usize, most: usize, patience: Duration) -> Vec<T> {
        let mut inner = self.lock();
        while inner.waiting.is_empty() {
            if inner.is_closed {
                return Vec::new();
            }
            inner.wanted = 1;
            let woken = self.enough.wait(inner);
            inner = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + patience;
        while inner.waiting.len() < usual
            && !inner.is_closed
            && !inner.waiting.iter().any(Kind::is_alone)
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inner.wanted = usual;
            let woken = self.enough.wait_timeout(inner, left);
            inner = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.wanted = 0;
        let alone = inner.waiting.iter().position(Kind::is_alone);
        let count = alone.map_or(inner.waiting.len(), |at| at + 1).min(most);
        inner.waiting.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[derive(Debug, PartialEq, Eq)]
    enum Task {
        Job(u32),
        Alone,
    }

    impl Kind for Task {
        fn is_alone(&self) -> bool {
            *self == Self::Alone
        }
    }

    fn of(jobs: std::ops::Range<u32>) -> Queue<Task> {
        let queue = Queue::new();
        for number in jobs {
            queue.put(Task::Job(number)).unwrap();
        }
        queue
    }

    fn numbers(tasks: &[Task]) -> Vec<u32> {
        let number = |task: &Task| match task {
            Task::Job(number) => *number,
            Task::Alone => u32::MAX,
        };
        tasks.iter().map(number).collect()
    }

    #[test]
    fn what_waits_is_taken_in_its_order_and_no_more_than_asked_for() {
        let queue = of(0..5);
        assert_eq!(numbers(&queue.take(1, 3, LONG)), [0, 1, 2]);
        assert_eq!(numbers(&queue.take(2, 3, LONG)), [3, 4]);
    }

    #[test]
    fn one_who_asks_alone_is_taken_at_once() {
        let queue = of(0..1);
        assert_eq!(numbers(&queue.take(1, 64, LONG)), [0]);
    }

    #[test]
    fn whoever_waits_for_more_wakes_when_they_are_there() {
        let queue = of(0..1);
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(3, 64, LONG));
            while queue.lock().wanted != 3 {
                std::thread::yield_now();
            }
            queue.put(Task::Job(1)).unwrap();
            queue.put(Task::Job(2)).unwrap();
            assert_eq!(numbers(&taken.join().unwrap()), [0, 1, 2]);
        });
    }

    #[test]
    fn no_longer_than_the_patience() {
        let queue = of(0..2);
        assert_eq!(
            numbers(&queue.take(64, 64, Duration::from_millis(1))),
            [0, 1]
        );
    }

    #[test]
    fn what_is_alone_ends_its_group_and_is_not_waited_behind() {
        let queue = of(0..2);
        queue.put(Task::Alone).unwrap();
        queue.put(Task::Job(2)).unwrap();
        assert_eq!(numbers(&queue.take(64, 64, LONG)), [0, 1, u32::MAX]);
        assert_eq!(numbers(&queue.take(1, 64, LONG)), [2]);
    }

    #[test]
    fn too_many_are_given_back() {
        let queue = of(0..u32::try_from(MOST).unwrap());
        assert_eq!(queue.put(Task::Job(7)), Err(Task::Job(7)));
    }

    #[test]
    fn what_waits_when_it_is_closed_is_still_taken_and_nothing_comes_after() {
        let queue = of(0..2);
        queue.close();
        assert_eq!(queue.put(Task::Job(7)), Err(Task::Job(7)));
        assert_eq!(numbers(&queue.take(64, 64, LONG)), [0, 1]);
        assert_eq!(queue.take(64, 64, LONG), []);
    }

    #[test]
    fn whoever_sleeps_wakes_when_it_is_closed() {
        let queue = of(0..0);
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(1, 64, LONG));
            while queue.lock().wanted != 1 {
                std::thread::yield_now();
            }
            queue.close();
            assert_eq!(taken.join().unwrap(), []);
        });
    }
}
