//! A request's body in pieces that are worth a write.

use std::time::Duration;

use axum::body::{Body, Bytes};
use heirloom_vault_api::Code;
use http_body_util::BodyExt as _;

use crate::refusal::Refusal;

/// For the next bytes of an upload.
const IDLE: Duration = Duration::from_secs(30);
/// What is gathered before it is written.
pub(super) const PIECE_BYTES: u64 = 1 << 20;

/// Why no more bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    No,
    Whole,
    /// The connection broke, or was silent for too long.
    Cut,
}

/// The bytes of a body, at most as many as were stated.
#[derive(Debug)]
pub(super) struct Pieces {
    body: Body,
    left: u64,
    piece_bytes: u64,
    end: End,
    /// What waits to become a piece, and its length: here, so that a wait that is given up loses nothing.
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
}

impl Pieces {
    pub(super) fn new(body: Body, size: u64) -> Self {
        Self::of(body, size, PIECE_BYTES)
    }

    /// Pieces of at least `piece_bytes`, but for the last; each is longer by less than one read.
    pub(super) fn of(body: Body, size: u64, piece_bytes: u64) -> Self {
        Self {
            body,
            left: size,
            piece_bytes,
            end: End::No,
            gathered: Vec::new(),
            gathered_bytes: 0,
        }
    }

    /// Whether all bytes came that were stated.
    pub(super) fn is_whole(&self) -> bool {
        self.end == End::Whole && self.left == 0
    }

    /// The next piece. Where the connection breaks, what came before is still given.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Bytes>>, Refusal> {
        while self.end == End::No && self.gathered_bytes < self.piece_bytes {
            match tokio::time::timeout(IDLE, self.body.frame()).await {
                Ok(None) => self.end = End::Whole,
                Err(_) | Ok(Some(Err(_))) => self.end = End::Cut,
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let came = u64::try_from(data.len()).unwrap_or(u64::MAX);
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
