//! Flags, as they are read, checked and asked.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::json;
use crate::logic::{Expr, NoAnswer, Step};

/// The longest file.
pub const MAX_RULES_BYTES: usize = 256 << 10;
const MAX_FLAGS: usize = 256;
const MAX_NAME_BYTES: usize = 100;
/// Parts of all rules together, after references were put in.
const MAX_PARTS: usize = 20_000;

/// Why a file of rules is not taken. Nothing of it is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RulesError {
    /// Longer than [`MAX_RULES_BYTES`].
    #[error("the rules are longer than {MAX_RULES_BYTES} bytes")]
    TooLong,
    /// It is not JSON, or not as strict as it must be.
    #[error("the rules are no JSON that can be taken: {0}")]
    Json(String),
    /// One part is not what it must be.
    #[error("{place}: {what}")]
    Wrong {
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        what: String,
    },
}

fn wrong(place: &str, what: impl Into<String>) -> RulesError {
    RulesError::Wrong {
        place: place.to_owned(),
        what: what.into(),
    }
}

/// Who asks. Everything but the account is what it says of itself: rules spread a roll-out, they guard nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// What percentages go by: the account's id. Never a name or a number of a person.
    pub key: Option<String>,
    /// Whose user it is, where a server has several tenants.
    pub tenant: Option<String>,
    /// Where the server stands, as its operator calls it.
    pub region: Option<String>,
    /// `android`, `ios`, `linux`, `macos`, `web`, `windows`.
    pub platform: Option<String>,
    /// The app's version.
    pub version: Option<String>,
}

impl Asker {
    fn data(&self, flag: &str) -> Map<String, Value> {
        let Self {
            key,
            tenant,
            region,
            platform,
            version,
        } = self;
        let mut own = Map::new();
        own.insert("flagKey".to_owned(), flag.into());
        let mut data = Map::new();
        data.insert("$flagd".to_owned(), Value::Object(own));
        for (name, value) in [
            ("targetingKey", key),
            ("tenant", tenant),
            ("region", region),
            ("platform", platform),
            ("version", version),
        ] {
            if let Some(value) = value {
                data.insert(name.to_owned(), value.as_str().into());
            }
        }
        data
    }
}

/// Why something is offered or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No rule has this name: it is offered.
    NoRule,
    /// The kill switch: the flag is `DISABLED`.
    KillSwitch,
    /// The flag has no targeting.
    Static,
    /// The targeting chose the variant.
    Targeting,
    /// The targeting gave none.
    Default,
    /// The targeting could not be answered for this asker: the default variant.
    NoAnswer(&'static str),
    /// The targeting chose a variant that does not exist: not offered.
    UnknownVariant,
}

/// Whether something is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// It is.
    pub offered: bool,
    /// The variant that says so.
    pub variant: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// A decision, and each part of the rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The same as without asking why.
    pub decision: Decision,
    /// Outer parts before inner ones.
    pub steps: Vec<Step>,
}

/// A flag of any kind of value.
#[derive(Debug)]
pub(crate) struct Flag {
    is_enabled: bool,
    variants: BTreeMap<String, Value>,
    default_variant: String,
    targeting: Option<Expr>,
}

/// What flagd would resolve: the variant's name, and how it came to it.
pub(crate) type Resolved = (Option<String>, Reason);

impl Flag {
    pub(crate) fn resolve(
        &self,
        asker: &Map<String, Value>,
        steps: &mut Option<Vec<Step>>,
    ) -> Resolved {
        if !self.is_enabled {
            return (None, Reason::KillSwitch);
        }
        let default = Some(self.default_variant.clone());
        let Some(targeting) = &self.targeting else {
            return (default, Reason::Static);
        };
        let chosen = match targeting.evaluate(asker, 0, steps) {
            Ok(Value::Null) => return (default, Reason::Default),
            Ok(Value::String(chosen)) => chosen,
            Ok(Value::Bool(chosen)) => chosen.to_string(),
            Ok(_) => return (None, Reason::UnknownVariant),
            Err(NoAnswer(why)) => return (default, Reason::NoAnswer(why)),
        };
        if self.variants.contains_key(&chosen) {
            (Some(chosen), Reason::Targeting)
        } else {
            (None, Reason::UnknownVariant)
        }
    }

    pub(crate) fn value(&self, variant: &str) -> Option<&Value> {
        self.variants.get(variant)
    }
}

/// Reads flagd's form, whatever the variants' values are.
pub(crate) fn flags(bytes: &[u8]) -> Result<BTreeMap<String, Flag>, RulesError> {
    if bytes.len() > MAX_RULES_BYTES {
        return Err(RulesError::TooLong);
    }
    let text = json::parse(bytes).map_err(|error| RulesError::Json(error.to_string()))?;
    let Value::Object(mut file) = text else {
        return Err(wrong("the file", "must be an object"));
    };
    let flags = file.remove("flags");
    let evaluators = file
        .remove("$evaluators")
        .unwrap_or_else(|| Value::Object(Map::new()));
    let _ = (file.remove("$schema"), file.remove("metadata"));
    if let Some(name) = file.keys().next() {
        return Err(wrong(
            "the file",
            format!("has \"{name}\", which is not known"),
        ));
    }
    let Some(Value::Object(flags)) = flags else {
        return Err(wrong("flags", "must be an object"));
    };
    let Value::Object(evaluators) = evaluators else {
        return Err(wrong("$evaluators", "must be an object"));
    };
    if flags.len() > MAX_FLAGS {
        return Err(wrong("flags", format!("more than {MAX_FLAGS}")));
    }
    let mut parts = MAX_PARTS;
    flags
        .into_iter()
        .map(|(name, flag)| {
            let flag = read_flag(&name, flag, &evaluators, &mut parts)?;
            Ok((name, flag))
        })
        .collect()
}

fn read_flag(
    name: &str,
    flag: Value,
    evaluators: &Map<String, Value>,
    parts: &mut usize,
) -> Result<Flag, RulesError> {
    let place = |member: &str| format!("flags.{name}{member}");
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(wrong("flags", "a name is empty or too long"));
    }
    let Value::Object(mut flag) = flag else {
        return Err(wrong(&place(""), "must be an object"));
    };
    let is_enabled = match flag.remove("state") {
        Some(Value::String(state)) if state == "ENABLED" => true,
        Some(Value::String(state)) if state == "DISABLED" => false,
        _ => return Err(wrong(&place(".state"), "must be ENABLED or DISABLED")),
    };
    let Some(Value::Object(variants)) = flag.remove("variants") else {
        return Err(wrong(&place(".variants"), "must be an object"));
    };
    let variants: BTreeMap<_, _> = variants.into_iter().collect();
    let Some(Value::String(default_variant)) = flag.remove("defaultVariant") else {
        return Err(wrong(&place(".defaultVariant"), "must be a variant's name"));
    };
    if !variants.contains_key(&default_variant) {
        return Err(wrong(&place(".defaultVariant"), "is none of the variants"));
    }
    let targeting = match flag.remove("targeting") {
        None | Some(Value::Null) => None,
        // flagd: an empty rule is none.
        Some(Value::Object(rule)) if rule.is_empty() => None,
        Some(rule) => {
            let at = place(".targeting");
            let rule = put_in(&rule, evaluators, parts, 0).map_err(|what| wrong(&at, what))?;
            Some(Expr::compile(&rule).map_err(|what| wrong(&at, what))?)
        }
    };
    let _ = flag.remove("metadata");
    if let Some(member) = flag.keys().next() {
        let what = format!("has \"{member}\", which is not known");
        return Err(wrong(&place(""), what));
    }
    Ok(Flag {
        is_enabled,
        variants,
        default_variant,
        targeting,
    })
}

/// Puts `$evaluators` where `$ref` names them. One cannot name another: so it ends.
fn put_in(
    rule: &Value,
    evaluators: &Map<String, Value>,
    parts: &mut usize,
    depth: usize,
) -> Result<Value, String> {
    *parts = parts
        .checked_sub(1)
        .ok_or("the rules have too many parts")?;
    if depth > json::MAX_DEPTH {
        return Err("too many things within each other".to_owned());
    }
    let none = Map::new();
    match rule {
        Value::Array(list) => {
            let list: Result<Vec<_>, _> = list
                .iter()
                .map(|part| put_in(part, evaluators, parts, depth + 1))
                .collect();
            Ok(Value::Array(list?))
        }
        Value::Object(map) => match map.get("$ref") {
            Some(Value::String(name)) if map.len() == 1 => {
                let named = evaluators
                    .get(name)
                    .ok_or_else(|| format!("$evaluators has no \"{name}\""))?;
                // Within one, nothing can be named.
                put_in(named, &none, parts, depth + 1)
            }
            Some(_) => Err("\"$ref\" takes a name, and stands alone".to_owned()),
            None => {
                let map: Result<Map<_, _>, String> = map
                    .iter()
                    .map(|(name, part)| {
                        Ok((name.clone(), put_in(part, evaluators, parts, depth + 1)?))
                    })
                    .collect();
                Ok(Value::Object(map?))
            }
        },
        value => Ok(value.clone()),
    }
}

/// Rules whose every flag says yes or no.
#[derive(Debug, Default)]
pub struct Rules(BTreeMap<String, Flag>);

impl Rules {
    /// Reads and checks a file in flagd's form. What could go wrong later is refused here.
    ///
    /// Costs time and memory in proportion to the file's length and never more than a few megabytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, RulesError> {
        let flags = flags(bytes)?;
        for (name, flag) in &flags {
            if !flag.variants.values().all(Value::is_boolean) {
                let what = "must be true or false, each of them";
                return Err(wrong(&format!("flags.{name}.variants"), what));
            }
        }
        Ok(Self(flags))
    }

    /// Names of all flags, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether `feature` is offered to `asker`.
    pub fn decide(&self, feature: &str, asker: &Asker) -> Decision {
        self.resolve(feature, asker, &mut None)
    }

    /// The same, with its reasons.
    pub fn explain(&self, feature: &str, asker: &Asker) -> Explanation {
        let mut steps = Some(Vec::new());
        let decision = self.resolve(feature, asker, &mut steps);
        Explanation {
            decision,
            steps: steps.unwrap_or_default(),
        }
    }

    fn resolve(&self, feature: &str, asker: &Asker, steps: &mut Option<Vec<Step>>) -> Decision {
        let Some(flag) = self.0.get(feature) else {
            return Decision {
                offered: true,
                variant: None,
                reason: Reason::NoRule,
            };
        };
        let (variant, reason) = flag.resolve(&asker.data(feature), steps);
        let value = variant.as_deref().and_then(|variant| flag.value(variant));
        Decision {
            offered: value == Some(&Value::Bool(true)),
            variant,
            reason,
        }
    }
}
