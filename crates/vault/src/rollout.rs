//! What is offered to whom: the operator's rules, as they lie in a file that may change while the server runs.
//!
//! Rules decide what is offered to be *added*, and nothing else: no route that opens asks them. Broken, older or
//! foreign rules are never taken; those before stay in force. Without any that were ever taken, nothing is
//! offered, and everything opens.

mod seen;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use heirloom_rollout::{Asker, MAX_RULES_BYTES, Rules};
use heirloom_vault_api::{FEATURES, Offer, OperatorPublic, SeenRules, Stamp};

use self::seen::SeenFile;
use crate::config::Log;

/// How often the file is looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// The stamp's line and the rules.
const MAX_FILE_BYTES: usize = MAX_RULES_BYTES + 512;

/// Where the rules come from.
#[derive(Clone, Debug)]
pub struct RolloutConfig {
    /// The file with the stamped rules. It is read again whenever it changes.
    pub file: PathBuf,
    /// Whose stamp is taken.
    pub operator: OperatorPublic,
    /// What rules call the place where this server stands.
    pub region: Option<String>,
}

/// The rules in force, and what is wrong with those in the file.
#[derive(Debug)]
pub(crate) struct Rollout {
    config: Option<RolloutConfig>,
    seen: SeenFile,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Option<(Stamp, Arc<Rules>)>,
    /// The file as it was looked at last: the same bytes are not judged, and not complained about, twice.
    looked_at: Option<Vec<u8>>,
    fault: Option<String>,
}

/// Why rules were not taken.
#[derive(Debug)]
enum Fault {
    /// Of the rules' file: the same bytes have it again.
    Rules(String),
    /// Of the file that remembers the newest rules: the next look may find it mended.
    Seen(String),
}

impl Fault {
    fn words(self) -> String {
        let (Self::Rules(words) | Self::Seen(words)) = self;
        words
    }
}

impl From<&str> for Fault {
    fn from(words: &str) -> Self {
        Self::Rules(words.to_owned())
    }
}

/// What an operator wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// 0: none in force.
    pub(crate) version: u64,
    /// Why the rules in the file are not the ones in force.
    pub(crate) fault: Option<String>,
}

impl Rollout {
    /// `seen` is the file that remembers the newest rules; it belongs to the server's own state.
    pub(crate) fn open(config: Option<RolloutConfig>, seen: PathBuf, log: &Log) -> Self {
        let rollout = Self {
            config,
            seen: SeenFile(seen),
            state: Mutex::default(),
        };
        rollout.look(log);
        rollout
    }

    /// Takes what changed in the file. Blocks shortly.
    pub(crate) fn look(&self, log: &Log) {
        let Some(config) = &self.config else {
            return;
        };
        let read = read(&config.file);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = match read {
            Ok(bytes) if state.looked_at.as_ref() == Some(&bytes) => return,
            Ok(bytes) => {
                let judged = self.judge(config, &bytes);
                // A disk that failed says nothing about the rules: they are judged again, until it does not.
                let is_judged = !matches!(judged, Err(Fault::Seen(_)));
                state.looked_at = is_judged.then_some(bytes);
                judged.map_err(Fault::words)
            }
            Err(error) => {
                state.looked_at = None;
                Err(format!("the file cannot be read: {}", error.kind()))
            }
        };
        match taken {
            Ok((stamp, rules)) => {
                log.line(&format!("offers: rules of version {}", stamp.version));
                state.rules = Some((stamp, Arc::new(rules)));
                state.fault = None;
            }
            Err(fault) => {
                if state.fault.as_ref() != Some(&fault) {
                    let kept = state.rules.as_ref().map_or_else(
                        || "nothing is offered to be added".to_owned(),
                        |(stamp, _)| format!("version {} stays in force", stamp.version),
                    );
                    log.line(&format!("offers: {fault}; {kept}"));
                }
                state.fault = Some(fault);
            }
        }
    }

    fn judge(&self, config: &RolloutConfig, bytes: &[u8]) -> Result<(Stamp, Rules), Fault> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err("the file is too long".into());
        }
        let (stamp, text) = Stamp::of_file(bytes)
            .ok_or("the file is not signed: `heirloom admin rollout sign` does it")?;
        if stamp.operator != config.operator.to_bytes() {
            return Err("the rules are signed by another operator".into());
        }
        // A new operator in the configuration begins anew: that is the host's own act.
        let seen = self
            .seen
            .read()
            .map_err(Fault::Seen)?
            .filter(|seen| seen.operator == stamp.operator);
        let now = SeenRules::after(seen, Some(&stamp))
            .map_err(|error| Fault::Rules(error.to_string()))?;
        let rules = Rules::parse(text).map_err(|error| Fault::Rules(error.to_string()))?;
        if now != seen {
            // Before anybody is told of them: a copy of the file from before is known as old from here on.
            self.seen.write(now).map_err(Fault::Seen)?;
        }
        Ok((stamp, rules))
    }

    pub(crate) fn standing(&self) -> Standing {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Standing {
            version: state.rules.as_ref().map_or(0, |(stamp, _)| stamp.version),
            fault: state.fault.clone(),
        }
    }

    /// What `asker` may add. `None`: rules are wanted, and there are none: nobody can say.
    pub(crate) fn offers(&self, mut asker: Asker) -> Option<(Option<Stamp>, Vec<Offer>)> {
        let Some(config) = &self.config else {
            return Some((None, offers(|_| true)));
        };
        asker.region.clone_from(&config.region);
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (stamp, rules) = state.rules.clone()?;
        drop(state);
        let offers = offers(|feature| rules.decide(feature, &asker).offered);
        Some((Some(stamp), offers))
    }
}

fn offers(has: impl Fn(&str) -> bool) -> Vec<Offer> {
    let mut offers: Vec<_> = FEATURES
        .iter()
        .map(|feature| Offer {
            feature: (*feature).to_owned(),
            offered: has(feature),
        })
        .collect();
    offers.sort_by(|one, two| one.feature.cmp(&two.feature));
    offers
}

fn read(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let most = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
