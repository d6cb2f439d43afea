//! A request's body in pieces that are worth a write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use heirloom_vault_api::Code;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;

/// How slowly a body may come: it has a connection and a file.
///
/// It has `patience` to lose by our waiting for it, and every byte wins some back, never more than all. So nobody is
/// silent for longer than that, and nobody is slower than the pace for long; a stall now and then costs nothing on a
/// line that else is faster. Time in which we write is not the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    patience: Duration,
    bytes_per_s: u64,
}

/// A telephone's 128 kbit/s bear seven uploads at a time at 2 KiB/s; a byte now and then is over after 30 seconds.
const PACE: Pace = Pace {
    patience: Duration::from_secs(30),
    bytes_per_s: 2 << 10,
};

impl Pace {
    /// What is left of `left` when `bytes` came after `waited`.
    fn after(self, left: Duration, waited: Duration, bytes: u64) -> Duration {
        let won = bytes.saturating_mul(1_000_000) / self.bytes_per_s.max(1);
        left.saturating_sub(waited)
            .saturating_add(Duration::from_micros(won))
            .min(self.patience)
    }
}

/// What is gathered before it is written.
const PIECE_BYTES: u64 = 1 << 20;
/// The same, where so many gather that much already.
const SMALL_PIECE_BYTES: u64 = 64 << 10;
/// So many.
const GATHERING: usize = 64;

/// Who may gather how much: memory has a bound, and nobody waits for another one's bytes to have some of it.
#[derive(Debug)]
pub(super) struct Gathering(Arc<Semaphore>);

impl Default for Gathering {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(GATHERING)))
    }
}

impl Gathering {
    /// The bytes of a body of `size`, in pieces as long as there is room for now.
    pub(super) fn pieces(&self, body: Body, size: u64) -> Pieces {
        let room = Arc::clone(&self.0).try_acquire_owned().ok();
        let piece_bytes = if room.is_some() {
            PIECE_BYTES
        } else {
            SMALL_PIECE_BYTES
        };
        Pieces {
            _room: room,
            ..Pieces::at(PACE, body, size, piece_bytes)
        }
    }
}

/// Why no more bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    No,
    Whole,
    /// The connection broke, or was silent or slow for too long.
    Cut,
}

/// The bytes of a body, at most as many as were stated.
#[derive(Debug)]
pub(super) struct Pieces {
    body: Body,
    left: u64,
    piece_bytes: u64,
    pace: Pace,
    patience: Duration,
    end: End,
    /// What waits to become a piece, and its length: here, so that a wait that is given up loses nothing.
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
    /// To gather long pieces in.
    _room: Option<OwnedSemaphorePermit>,
}

impl Pieces {
    /// Pieces of at least `piece_bytes`, but for the last; each is longer by less than one read.
    fn at(pace: Pace, body: Body, size: u64, piece_bytes: u64) -> Self {
        Self {
            body,
            left: size,
            piece_bytes,
            pace,
            patience: pace.patience,
            end: End::No,
            gathered: Vec::new(),
            gathered_bytes: 0,
            _room: None,
        }
    }

    /// Whether all bytes came that were stated.
    pub(super) fn is_whole(&self) -> bool {
        self.end == End::Whole && self.left == 0
    }

    /// The next piece. Where the connection breaks, what came before is still given.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Bytes>>, Refusal> {
        while self.end == End::No && self.gathered_bytes < self.piece_bytes {
            let asked = Instant::now();
            let came = tokio::time::timeout(self.patience, self.body.frame()).await;
            let waited = asked.elapsed();
            match came {
                Ok(None) => self.end = End::Whole,
                Err(_) | Ok(Some(Err(_))) => self.end = End::Cut,
                Ok(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    let came = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    self.patience = self.pace.after(self.patience, waited, came);
                    self.left = self.left.checked_sub(came).ok_or(Code::TooLarge)?;
                    self.gathered_bytes = self.gathered_bytes.saturating_add(came);
                    self.gathered.push(data);
                }
            }
        }
        Ok(self.rest())
    }

    /// What waits to become a piece.
    pub(super) fn rest(&mut self) -> Option<Vec<Bytes>> {
        self.gathered_bytes = 0;
        let gathered = std::mem::take(&mut self.gathered);
        (!gathered.is_empty()).then_some(gathered)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::stream;

    use super::*;

    /// Seconds until such a line is cut, of ten hours; it brings `bytes` after every wait in turn.
    fn cut_after(waits_s: &[u64], bytes: u64) -> Option<u64> {
        let (mut left, mut passed) = (PACE.patience, 0);
        for wait in waits_s.iter().cycle() {
            if left < Duration::from_secs(*wait) {
                return Some(passed + left.as_secs());
            }
            left = PACE.after(left, Duration::from_secs(*wait), bytes);
            passed += wait;
            if passed > 36_000 {
                return None;
            }
        }
        None
    }

    #[test]
    fn a_byte_now_and_then_is_cut_soon() {
        assert_eq!(cut_after(&[25], 1), Some(30));
        assert_eq!(cut_after(&[1], 1), Some(30));
        assert_eq!(cut_after(&[31], 1 << 20), Some(30));
        // Half the pace: half of the time is lost.
        assert_eq!(cut_after(&[1], 1 << 10), Some(59));
    }

    #[test]
    fn a_slow_but_honest_line_is_not_cut() {
        // 128 kbit/s, for one upload and for seven; and with a stall of twenty seconds every minute.
        assert_eq!(cut_after(&[1], 16_000), None);
        assert_eq!(cut_after(&[1], 16_000 / 7), None);
        let stalls: Vec<u64> = std::iter::once(20).chain([1; 40]).collect();
        assert_eq!(cut_after(&stalls, 16_000), None);
        assert_eq!(cut_after(&[29], 1 << 20), None);
    }

    /// A body of `bytes` single bytes, each after five milliseconds.
    fn drops(bytes: u64) -> Body {
        Body::from_stream(stream::unfold(bytes, async |left| {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let left = left.checked_sub(1)?;
            Some((Ok::<_, io::Error>(Bytes::from_static(b"x")), left))
        }))
    }

    #[tokio::test]
    async fn what_came_before_the_cut_of_a_slow_body_is_given_and_it_is_not_whole() {
        let pace = Pace {
            patience: Duration::from_millis(100),
            bytes_per_s: 1000,
        };
        let mut pieces = Pieces::at(pace, drops(300), 300, 1 << 20);
        let given = pieces.next().await.unwrap();
        assert!(given.is_none_or(|given| given.len() < 100));
        assert!(!pieces.is_whole());
        assert!(pieces.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_body_that_keeps_the_pace_is_whole() {
        let pace = Pace {
            patience: Duration::from_mins(1),
            bytes_per_s: 1,
        };
        let mut pieces = Pieces::at(pace, drops(10), 10, 1 << 20);
        assert_eq!(pieces.next().await.unwrap().unwrap().len(), 10);
        assert!(pieces.next().await.unwrap().is_none());
        assert!(pieces.is_whole());
    }

    #[tokio::test]
    async fn who_finds_no_room_for_long_pieces_has_short_ones_at_once_and_no_byte_is_lost() {
        let gathering = Gathering::default();
        let silent = || Body::from_stream(stream::pending::<io::Result<Bytes>>());
        let mut slow: Vec<_> = (0..GATHERING)
            .map(|_| gathering.pieces(silent(), 1))
            .collect();
        let body = || {
            let part = Bytes::from(vec![7; 40 << 10]);
            Body::from_stream(stream::iter(
                (0..5).map(move |_| Ok::<_, io::Error>(part.clone())),
            ))
        };
        let lengths = async |mut pieces: Pieces| {
            let mut lengths = Vec::new();
            while let Some(piece) = pieces.next().await.unwrap() {
                lengths.push(piece.iter().map(Bytes::len).sum::<usize>() >> 10);
            }
            assert!(pieces.is_whole());
            lengths
        };
        let size = 200 << 10;
        assert_eq!(lengths(gathering.pieces(body(), size)).await, [80, 80, 40]);
        slow.pop();
        assert_eq!(lengths(gathering.pieces(body(), size)).await, [200]);
    }
}
