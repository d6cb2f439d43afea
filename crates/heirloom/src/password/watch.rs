//! What was guessed at a password, as its server logs it: held against what this computer has seen before.
//!
//! A server can leave a guess out of its log when it writes it. It cannot take one back, or change one, that this
//! computer was shown (requirement V11).

use std::path::PathBuf;

use heirloom_vault_api::{Fixed, LogEntry, LogHead, LogKind, LogPage, LogRead, RecordName};
use serde::{Deserialize, Serialize};

use super::Guarded;
use super::guess::status;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::server::{Account, CallError, Client};
use crate::{atomic, server, words};

/// How many guesses are remembered; more than can be open at one time.
const KEPT: usize = 16;
/// How long a guess may be proven for (docs/vault.md, section 3).
const OPEN_MS: u64 = 2 * 60_000;
/// More pages than any log has: each guess that is not proven is one of a hundred in a life.
const MOST_PAGES: u32 = 10_000;

/// One guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Guess {
    /// By the server's clock.
    pub(crate) time_ms: u64,
    /// Whether who guessed was signed in to the owner's account.
    pub(crate) signed_in: bool,
    /// Whether the password was right; `None` where one was that was made at the same time by somebody else, or this.
    pub(crate) right: Option<bool>,
}

/// A log as far as it was followed, and what it said of guesses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Guesses {
    head: LogHead,
    /// All of them, ever.
    pub(crate) count: u64,
    /// The newest, oldest first.
    last: Vec<Guess>,
}

/// What a password's server says of it to its signed-in owner.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Guesses that are left.
    pub(crate) left: u32,
    /// Those that were made, or why the server's word on them is not to be trusted.
    pub(crate) guesses: Result<Guesses, Failure>,
}

impl Guesses {
    fn none(record: &RecordName) -> Self {
        Self {
            head: LogHead::start(record),
            count: 0,
            last: Vec::new(),
        }
    }

    /// The newest `most` of them, the newest first.
    pub(crate) fn newest(&self, most: usize) -> impl Iterator<Item = &Guess> {
        self.last.iter().rev().take(most)
    }

    fn take(&mut self, entry: &LogEntry) {
        let LogEntry {
            sequence: _,
            kind,
            // Of a guess it is the one in force, also where it was made at the pending one.
            version: _,
            time_ms,
        } = *entry;
        match kind {
            LogKind::Guess | LogKind::OwnersGuess => {
                self.count = self.count.saturating_add(1);
                self.last.push(Guess {
                    time_ms,
                    signed_in: kind == LogKind::OwnersGuess,
                    right: Some(false),
                });
                let over = self.last.len().saturating_sub(KEPT);
                self.last.drain(..over);
            }
            LogKind::Proved | LogKind::PendingProved => self.prove(time_ms),
            LogKind::Registered
            | LogKind::Activated
            | LogKind::OwnerChanged
            | LogKind::Destroyed => {}
        }
    }

    /// The log says that a guess was right, and not which of those that were open. A proof follows its guess at
    /// once, so it is the newest, unless others made one at the same time: then nobody knows whose it was.
    fn prove(&mut self, time_ms: u64) {
        let mut open: Vec<_> = self
            .last
            .iter_mut()
            .filter(|guess| {
                guess.right != Some(true) && guess.time_ms.saturating_add(OPEN_MS) >= time_ms
            })
            .collect();
        let signed_in = open.first().is_some_and(|guess| guess.signed_in);
        if open.iter().all(|guess| guess.signed_in == signed_in) {
            if let Some(newest) = open.last_mut() {
                newest.right = Some(true);
            }
        } else {
            for guess in open {
                guess.right = None;
            }
        }
    }
}

/// How a password stands and what was guessed at it, where this computer is signed in to its server and that answers.
pub(crate) fn watch(slot: &heirloom_keys::Password, context: &Context) -> Option<Watched> {
    let guarded = Guarded::of(slot)?;
    let account = Account::find(&guarded.address, context).ok()??;
    let client = Client::new(&guarded.address, Some(&account.token));
    let status = status(&client, &guarded).ok()?;
    let head = LogHead {
        length: status.log_length,
        hash: status.log_hash,
    };
    let guesses = match follow(&client, &guarded.pinned.record, head, context) {
        Ok(guesses) => Ok(guesses),
        Err(Stopped::Silent) => return None,
        Err(Stopped::Broken(failure)) => Err(failure),
    };
    Some(Watched {
        left: status.left,
        guesses,
    })
}

/// Why a log was not followed to its end.
#[derive(Debug)]
enum Stopped {
    /// The server does not answer now: nothing is wrong with the log.
    Silent,
    Broken(Failure),
}

fn follow(
    client: &Client,
    record: &RecordName,
    head: LogHead,
    context: &Context,
) -> Result<Guesses, Stopped> {
    let origin = client.origin();
    let memory = Memory::of(origin, record, context);
    let before = memory.read().map_err(Stopped::Broken)?;
    let seen = before.clone().unwrap_or_else(|| Guesses::none(record));
    let after = walk(seen, head, &memory.0, origin, |from| {
        let read = LogRead {
            record: *record,
            from,
        };
        client.post_again("/v1/records/log", &read)
    })?;
    if before.as_ref() != Some(&after) {
        memory.write(&after).map_err(Stopped::Broken)?;
    }
    Ok(after)
}

/// From what was seen to the head that the server states, entry by entry.
fn walk(
    mut seen: Guesses,
    head: LogHead,
    memory: &std::path::Path,
    origin: &str,
    mut page: impl FnMut(u64) -> Result<LogPage, CallError>,
) -> Result<Guesses, Stopped> {
    let broken = |what: &str| Stopped::Broken(not_whole(origin, what, memory));
    if head.length < seen.head.length {
        return Err(broken("entries are gone that this computer has seen"));
    }
    for _ in 0..MOST_PAGES {
        if seen.head.length == head.length {
            return if seen.head.hash == head.hash {
                Ok(seen)
            } else {
                Err(broken("entries were changed"))
            };
        }
        let LogPage { entries } = match page(seen.head.length) {
            Ok(page) => page,
            Err(CallError::BadAnswer { .. }) => return Err(broken("it cannot be read")),
            Err(_) => return Err(Stopped::Silent),
        };
        if entries.is_empty() {
            return Err(broken("entries are missing"));
        }
        for entry in &entries {
            // What happened since the server stated its head is for the next time.
            if seen.head.length == head.length {
                break;
            }
            seen.head
                .follow(entry)
                .map_err(|_| broken("entries are missing"))?;
            seen.take(entry);
        }
    }
    Err(broken("it has no end"))
}

fn not_whole(origin: &str, what: &str, memory: &std::path::Path) -> Failure {
    Failure::new(
        Exit::Damage,
        format!(
            "{} does not show every guess at the password: {what}",
            words::tame(origin)
        ),
    )
    .hint(format!(
        "ask who runs the server whether it was put back from a copy. If not, change the password. When you know why, remove {}: then it is followed anew",
        memory.display()
    ))
}

/// What this computer saw of one record's log, beside the sign-in.
struct Memory(PathBuf);

impl Memory {
    fn of(origin: &str, record: &RecordName, context: &Context) -> Self {
        let Fixed(name) = record;
        let kind = format!("{}.guesses", hex::encode(name));
        Self(server::account::remembered(origin, context).with_extension(kind))
    }

    fn read(&self) -> Result<Option<Guesses>, Failure> {
        let bytes = match std::fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file("read", &self.0, &error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            Failure::new(Exit::Failed, format!("{} makes no sense", self.0.display()))
                .hint("it holds what was seen of a password's guesses; remove it if you know why it is damaged")
        })
    }

    fn write(&self, seen: &Guesses) -> Result<(), Failure> {
        let wrong = |error| Failure::file("write", &self.0, &error);
        let folder = self.0.parent().unwrap_or(&self.0);
        atomic::private_folder(folder).map_err(wrong)?;
        let bytes = serde_json::to_vec(seen).unwrap_or_default();
        atomic::replace_private(&self.0, &bytes).map_err(wrong)
    }
}

#[cfg(test)]
mod tests;
