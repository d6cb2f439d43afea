//! The JSON events. Documented in `docs/json.md`; fields are only ever added within one version.

use serde::Serialize;

use crate::failure::Failure;

/// The version of all events.
pub(crate) const VERSION: u8 = 1;

/// An event with the two fields that all have, and its own.
#[derive(Debug, Serialize)]
pub(crate) struct Event<'a, T> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    body: T,
}

impl<'a, T: Serialize> Event<'a, T> {
    /// Wraps a body.
    pub(crate) fn new(kind: &'a str, body: T) -> Self {
        Self {
            v: VERSION,
            kind,
            body,
        }
    }
}

/// The last line of a run.
pub(crate) fn summary<T: Serialize>(command: &'static str, body: T) -> Event<'static, Named<T>> {
    Event::new("summary", Named { command, body })
}

/// A summary's body behind the command's name.
#[derive(Debug, Serialize)]
pub(crate) struct Named<T> {
    command: &'static str,
    #[serde(flatten)]
    body: T,
}

/// Something that a person should know.
#[derive(Debug, Serialize)]
pub(crate) struct Warning<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

impl<'a> Warning<'a> {
    pub(crate) fn new(message: &'a str) -> Self {
        Self {
            v: VERSION,
            kind: "warning",
            message,
        }
    }
}

/// The end of a run that failed.
#[derive(Debug, Serialize)]
pub(crate) struct Error<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
    exit: u8,
    message: &'a str,
    causes: &'a [String],
    hint: Option<&'a str>,
}

impl<'a> Error<'a> {
    pub(crate) fn new(failure: &'a Failure) -> Self {
        Self {
            v: VERSION,
            kind: "error",
            code: failure.exit.word(),
            exit: failure.exit.code(),
            message: &failure.message,
            causes: &failure.causes,
            hint: failure.hint.as_deref(),
        }
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Status {
    /// What is being done.
    pub(crate) phase: &'static str,
    /// Things done in this phase.
    pub(crate) items: u64,
    /// Bytes done in this phase.
    pub(crate) bytes: u64,
    /// All things of this phase, when known.
    pub(crate) total_items: Option<u64>,
    /// All bytes of this phase, when known.
    pub(crate) total_bytes: Option<u64>,
    /// The share of this phase, 0 to 100, when known.
    pub(crate) percent: Option<u8>,
    /// Since the run began.
    pub(crate) seconds_elapsed: u64,
    /// Of this phase, when it can be told.
    pub(crate) seconds_remaining: Option<u64>,
}
