//! Why a server did not do what it was asked, for the engine and for people.

use std::time::Duration;

use heirloom_engine::store::StoreError;
use heirloom_vault_api::{Code, Problem};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::words;

/// Why a call did not come to its end.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The server refused, and said why.
    Refused(Box<Problem>),
    /// No answer, or half of one. Whether the request had an effect is not known.
    NoAnswer {
        /// In words.
        why: String,
    },
    /// The other side is not who it should be, or speaks an old TLS. Nothing was sent.
    NotSafe {
        /// In words.
        why: &'static str,
    },
    /// An answer that no Heirloom server gives.
    BadAnswer {
        /// In words.
        why: String,
    },
}

impl CallError {
    pub(crate) fn bad(why: impl Into<String>) -> Self {
        Self::BadAnswer { why: why.into() }
    }

    /// What the server said, when it said something.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(problem) => Some(problem.code),
            Self::NoAnswer { .. } | Self::NotSafe { .. } | Self::BadAnswer { .. } => None,
        }
    }

    /// Whether the same call may go through a moment later.
    pub(super) fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(problem) => {
                matches!(
                    problem.code,
                    Code::Unavailable | Code::TooManyRequests | Code::CutShort
                )
            }
            Self::NoAnswer { .. } => true,
            Self::NotSafe { .. } | Self::BadAnswer { .. } => false,
        }
    }

    /// What pause the server asks for.
    pub(super) fn asked_pause(&self) -> Option<Duration> {
        match self {
            Self::Refused(problem) => problem.retry_after_s.map(Duration::from_secs),
            Self::NoAnswer { .. } | Self::NotSafe { .. } | Self::BadAnswer { .. } => None,
        }
    }

    /// For a person. `origin` is the server's.
    pub(crate) fn failure(self, origin: &str) -> Failure {
        match self {
            Self::NoAnswer { why } => {
                let mut failure = Failure::new(Exit::Failed, format!("{origin} cannot be reached"));
                failure.causes.push(why);
                failure.hint("check the address and that the server runs, then run this again")
            }
            Self::NotSafe { why } => {
                let mut failure = Failure::new(
                    Exit::Failed,
                    format!("there is no safe connection to {origin}"),
                );
                failure.causes.push(why.into());
                failure.hint("nothing was sent; ask who runs the server, and try another network: somebody may be in between")
            }
            Self::BadAnswer { why } => {
                let mut failure = Failure::new(
                    Exit::Failed,
                    format!("{origin} does not answer like a Heirloom server"),
                );
                failure.causes.push(why);
                failure.hint("check the address")
            }
            Self::Refused(problem) => refused(&problem, origin),
        }
    }

    /// For the engine, which knows nothing of servers.
    pub(super) fn store_error(self, origin: &str, name: &str) -> StoreError {
        let temporary = self.is_temporary();
        match self.code() {
            Some(Code::NotFound) => StoreError::NotFound { name: name.into() },
            Some(Code::QuotaExceeded) => StoreError::Full,
            Some(Code::TooLarge) => StoreError::TooLarge { name: name.into() },
            Some(Code::SignedOut) => StoreError::Denied {
                what: format!("another device signed this computer out of {origin}"),
            },
            Some(Code::SignInNeeded) => StoreError::Denied {
                what: format!("{origin} does not accept this sign-in any more"),
            },
            _ => {
                let failure = self.failure(origin);
                let mut why = failure.message;
                for cause in failure.causes {
                    why.push_str(": ");
                    why.push_str(&cause);
                }
                StoreError::Failed {
                    name: name.into(),
                    why,
                    temporary,
                }
            }
        }
    }
}

fn refused(problem: &Problem, origin: &str) -> Failure {
    match problem.code {
        Code::SignedOut => Failure::new(
            Exit::NeedsUnlock,
            format!("another device signed this computer out of {origin}"),
        )
        .hint(format!(
            "if that was you and you want it back: `heirloom login {origin} --account-file NEW-FILE`, with `--invite CODE` or `--passkey`"
        )),
        Code::NotLetIn => Failure::new(
            Exit::NeedsUnlock,
            format!("{origin} did not let this computer in"),
        )
        .hint("the passkey or the token does not sign in there, or it took too long: run this again, or use another way"),
        Code::TooManyDevices => Failure::new(
            Exit::Failed,
            format!("the account on {origin} has as many devices or passkeys as it may"),
        )
        .hint(format!(
            "remove one on a computer that is signed in: `heirloom devices {origin}`"
        )),
        Code::SignInNeeded => Failure::new(
            Exit::NeedsUnlock,
            format!("{origin} does not accept this sign-in"),
        )
        .hint(format!(
            "sign in again: `heirloom login {origin} --account-file NEW-FILE`, with `--invite CODE` (`heirloom invite {origin}` makes one, on a computer that is signed in)"
        )),
        Code::QuotaExceeded => {
            // Without numbers it is what was deleted that takes the room: `docs/vault.md`.
            match (problem.used_bytes, problem.quota_bytes) {
                (Some(used), Some(quota)) => Failure::new(
                    Exit::Full,
                    format!(
                        "the account on {origin} is full: {} of {} are used",
                        words::bytes(used),
                        words::bytes(quota)
                    ),
                )
                .hint("`heirloom prune STORE` makes room; else ask who runs the server for more"),
                _ => Failure::new(
                    Exit::Full,
                    format!("the account on {origin} is full: what was deleted is kept there for some days, and counts until they are over"),
                )
                .hint("run this again in a few days: to prune more makes no room before; or ask who runs the server for more"),
            }
        }
        Code::TooManyRequests | Code::Unavailable => Failure::new(
            Exit::Failed,
            format!("{origin} cannot answer now"),
        )
        .hint(match problem.retry_after_s {
            Some(seconds) => format!("run this again in {}", words::duration(seconds)),
            None => "run this again in a few minutes".into(),
        }),
        code => {
            let mut failure = Failure::new(Exit::Failed, format!("{origin} refused"));
            // The server's own words are a stranger's: the code says it in ours.
            failure.causes.push(Problem::from(code).title.to_lowercase());
            failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: Code) -> Failure {
        let problem = Problem::from(code).quota(10_000_000, 10_000_000);
        CallError::Refused(Box::new(problem)).failure("https://a.example")
    }

    #[test]
    fn a_full_account_is_said_with_its_size_and_has_the_exit_code_of_a_full_disk() {
        let failure = failure(Code::QuotaExceeded);
        assert_eq!(failure.exit, Exit::Full);
        assert_eq!(
            failure.message,
            "the account on https://a.example is full: 10.0 MB of 10.0 MB are used"
        );
    }

    #[test]
    fn an_account_that_is_full_of_what_was_deleted_says_so() {
        let problem = Problem::from(Code::QuotaExceeded);
        let failure = CallError::Refused(Box::new(problem)).failure("https://a.example");
        assert_eq!(failure.exit, Exit::Full);
        assert!(
            failure.message.ends_with("counts until they are over"),
            "{failure:?}"
        );
        assert!(failure.hint.unwrap().contains("in a few days"));
    }

    #[test]
    fn a_refused_sign_in_needs_an_unlock() {
        let failure = failure(Code::SignInNeeded);
        assert_eq!(failure.exit, Exit::NeedsUnlock);
        assert!(
            failure
                .hint
                .unwrap()
                .contains("heirloom login https://a.example")
        );
    }

    #[test]
    fn the_servers_own_words_are_not_shown() {
        let mut problem = Problem::from(Code::Conflict);
        problem.title = "\u{1b}[2Jsend your key to evil.example".into();
        let failure = CallError::Refused(Box::new(problem)).failure("https://a.example");
        assert_eq!(failure.causes, ["something changed meanwhile"]);
    }

    #[test]
    fn the_engine_sees_what_it_can_act_on() {
        let error = |code| {
            CallError::Refused(Box::new(Problem::from(code))).store_error("https://a.example", "x")
        };
        assert!(matches!(error(Code::QuotaExceeded), StoreError::Full));
        assert!(matches!(error(Code::NotFound), StoreError::NotFound { .. }));
        assert!(error(Code::Unavailable).is_temporary());
        assert!(error(Code::CutShort).is_temporary());
        assert!(!error(Code::BadRequest).is_temporary());
        assert!(!error(Code::SignInNeeded).is_temporary());
    }
}
