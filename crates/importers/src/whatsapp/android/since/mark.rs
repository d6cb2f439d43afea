//! What is remembered of a folder between two readings.

use super::super::pages::code::{Input, len, signed, unsigned};
use super::{RowAttachments, Tally};

const VERSION: u8 = 1;

/// A folder as it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// A page map, encoded: it is needed before the rows are read, and after, and in between it is in the way.
    pub(super) pages: Vec<u8>,
    pub(super) files: Vec<FileMark>,
    /// Rows of `message`, sentinels among them.
    pub(super) rows: u64,
    /// Messages that an archive has of it.
    pub(super) messages: u64,
    /// Conversations that the list of conversations does not have.
    pub(super) extra_conversations: u64,
    pub(super) tally: Tally,
}

/// Keyed hashes of a file's path, and of its size, times and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileMark {
    pub(super) path: u64,
    pub(super) stamp: u64,
}

impl Mark {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self {
            pages,
            files,
            rows,
            messages,
            extra_conversations,
            tally:
                Tally {
                    listed,
                    calls,
                    rows: with_attachments,
                },
        } = self;
        let mut out = vec![VERSION];
        for number in [rows, messages, extra_conversations, listed, calls] {
            unsigned(&mut out, *number);
        }
        unsigned(&mut out, len(files));
        for FileMark { path, stamp } in files {
            out.extend(path.to_le_bytes());
            out.extend(stamp.to_le_bytes());
        }
        unsigned(&mut out, len(with_attachments));
        let mut before = 0i64;
        for RowAttachments { row, taken, absent } in with_attachments {
            signed(&mut out, row.wrapping_sub(before));
            unsigned(&mut out, u64::from(*taken));
            unsigned(&mut out, u64::from(*absent));
            before = *row;
        }
        out.extend_from_slice(pages);
        out
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        if input.byte()? != VERSION {
            return None;
        }
        let mut numbers = [0; 5];
        for number in &mut numbers {
            *number = input.unsigned()?;
        }
        let [rows, messages, extra_conversations, listed, calls] = numbers;
        let mut files = Vec::new();
        for _ in 0..input.count()? {
            files.push(FileMark {
                path: u64::from_le_bytes(input.hash()?),
                stamp: u64::from_le_bytes(input.hash()?),
            });
        }
        let mut with_attachments = Vec::new();
        let mut row = 0i64;
        for _ in 0..input.count()? {
            row = row.wrapping_add(input.signed()?);
            with_attachments.push(RowAttachments {
                row,
                taken: u16::try_from(input.unsigned()?).ok()?,
                absent: u16::try_from(input.unsigned()?).ok()?,
            });
        }
        Some(Self {
            pages: input.0.to_vec(),
            files,
            rows,
            messages,
            extra_conversations,
            tally: Tally {
                listed,
                calls,
                rows: with_attachments,
            },
        })
    }
}
