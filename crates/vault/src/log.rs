//! What the operator reads: lines without anything that leads to a person.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Level {
    /// What happens all day.
    Info,
    /// What the operator should look at.
    Warning,
}

/// A request that was answered: its route's template and the answer's status, nothing that it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestEntry<'a> {
    /// `GET`, `POST` …, or `other`.
    pub method: &'a str,
    /// The route's template, or `none`.
    pub route: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// Until the answer's head, in microseconds.
    pub took_us: u64,
}

/// One line.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// How much it matters.
    pub level: Level,
    /// `request`, or `server` for the server's own matters.
    pub event: &'static str,
    /// A sentence; none for a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    /// The request.
    #[serde(flatten)]
    pub request: Option<RequestEntry<'a>>,
}

impl Entry<'_> {
    /// One JSON object without a line feed, with the time as `time_ms` in milliseconds since 1970.
    pub fn to_json(&self, time_ms: u64) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            time_ms: u64,
            #[serde(flatten)]
            entry: &'a Entry<'a>,
        }
        let line = Line {
            time_ms,
            entry: self,
        };
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// Where lines about the server go. They hold nothing linkable to a person: no account, no record, no token, no
/// address.
#[derive(Clone)]
pub struct Log(Arc<dyn Fn(&Entry<'_>) + Send + Sync>);

impl Log {
    /// Sends the sentences about the server's own matters to `write`, and no requests.
    pub fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |entry| {
            if let Some(text) = entry.text {
                write(text);
            }
        }))
    }

    /// Sends every line to `write`, requests too.
    pub fn structured(write: impl Fn(&Entry<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// Sends every line here and to `other`.
    pub(crate) fn also(&self, other: impl Fn(&Entry<'_>) + Send + Sync + 'static) -> Self {
        let first = Arc::clone(&self.0);
        Self(Arc::new(move |entry| {
            first(entry);
            other(entry);
        }))
    }

    pub(crate) fn line(&self, text: &str) {
        (self.0)(&Entry {
            level: Level::Warning,
            event: "server",
            text: Some(text),
            request: None,
        });
    }

    pub(crate) fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        (self.0)(&Entry {
            level: Level::Info,
            event: "request",
            text: None,
            request: Some(RequestEntry {
                method,
                route,
                status,
                took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            }),
        });
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn lines_are_json_objects_of_one_line() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&lines);
        let log = Log::structured(move |entry| written.lock().unwrap().push(entry.to_json(7)));
        log.line("a \"quoted\"\nsentence");
        log.request("GET", "/v1/vault", 200, Duration::from_millis(2));
        assert_eq!(
            *lines.lock().unwrap(),
            [
                r#"{"time_ms":7,"level":"warning","event":"server","text":"a \"quoted\"\nsentence"}"#,
                r#"{"time_ms":7,"level":"info","event":"request","method":"GET","route":"/v1/vault","status":200,"took_us":2000}"#,
            ]
        );
    }
}
