//! `admin rollout`: the rules' key, their signature, and why they say what they say.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use heirloom_rollout::{Asker, Decision, Explanation, MAX_RULES_BYTES, Reason, Rules};
use heirloom_vault_api::{FEATURES, Fixed, OperatorKey, OperatorPublic, Stamp};
use rand_core::Rng as _;
use secrecy::{ExposeSecret as _, SecretBox};
use serde::Serialize;
use zeroize::Zeroizing;

use super::asking::account;
use crate::args::admin::{Explain, RolloutCommand};
use crate::context::{Context, now_ms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events::{self, Event};
use crate::{atomic, keys, secrets, words};

/// What a key file begins with.
const MAGIC: &str = "heirloom-operator-1 ";
const MOST_BYTES: usize = MAX_RULES_BYTES + 512;

pub(super) fn run(command: &RolloutCommand, context: &Context) -> Result<Exit, Failure> {
    match command {
        RolloutCommand::Keygen { key_file } => keygen(key_file, context),
        RolloutCommand::Sign {
            rules,
            key_file,
            to,
            number,
        } => sign(rules, key_file, to, *number, context),
        RolloutCommand::Verify { file, operator } => verify(file, operator.as_deref(), context),
        RolloutCommand::Explain(args) => explain(args, context),
    }
}

/// A public key as it was written on the command line.
pub(super) fn operator(text: &str) -> Result<OperatorPublic, Failure> {
    Fixed::parse(text)
        .ok()
        .and_then(|bytes| OperatorPublic::new(&bytes).ok())
        .ok_or_else(|| {
            Failure::usage("this is no operator's public key")
                .hint("it has 43 characters; `heirloom admin rollout keygen` shows it")
        })
}

#[derive(Serialize)]
struct Made<'a> {
    operator: &'a str,
    seconds: f64,
}

fn keygen(path: &Path, context: &Context) -> Result<Exit, Failure> {
    let seed =
        SecretBox::<[u8; 32]>::init_with_mut(|seed: &mut [u8; 32]| keys::rng().fill_bytes(seed));
    let text = Zeroizing::new(Fixed(*seed.expose_secret()).to_text());
    let file = Zeroizing::new(format!("{MAGIC}{}\n", text.as_str()));
    let public = OperatorKey::new(seed).public().to_bytes().to_text();
    atomic::create_private(path, file.as_bytes())
        .map_err(|error| Failure::file("write", path, &error))?;
    context.output.line(&public);
    context.output.say(&format!(
        "The key is in {}: keep it where rules are written, on no server. Servers get what is shown above: \
         `heirloom serve --rollout FILE --rollout-operator {public}`",
        path.display()
    ));
    let made = Made {
        operator: &public,
        seconds: context.seconds(),
    };
    context
        .output
        .event(&events::summary("admin rollout keygen", made));
    Ok(Exit::Done)
}

fn read_key(path: &Path) -> Result<OperatorKey, Failure> {
    let text = secrets::read_text(path)?;
    let not_one = || Failure::usage(format!("{} is no operator's key file", path.display()));
    let seed = text
        .trim_end()
        .strip_prefix(MAGIC)
        .and_then(|seed| Fixed::<32>::parse(seed).ok())
        .ok_or_else(not_one)?;
    let seed = Zeroizing::new(seed.0);
    let seed = SecretBox::init_with_mut(|secret: &mut [u8; 32]| secret.copy_from_slice(&*seed));
    Ok(OperatorKey::new(seed))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |error| Failure::file("read", path, &error);
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(wrong)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() > MOST_BYTES {
        return Err(Failure::usage(format!(
            "{} is too long for rules",
            path.display()
        )));
    }
    Ok(bytes)
}

fn parse(rules: &[u8], path: &Path) -> Result<Rules, Failure> {
    Rules::parse(rules).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("{} holds no rules that can be taken", path.display()),
        )
        .because(&error)
        .hint("their form is in docs/rollout.md")
    })
}

#[derive(Serialize)]
struct Stamped {
    version: u64,
    operator: String,
    flags: u64,
    seconds: f64,
}

fn stamped(stamp: &Stamp, rules: &Rules, context: &Context) -> Stamped {
    Stamped {
        version: stamp.version,
        operator: stamp.operator.to_text(),
        flags: u64::try_from(rules.names().count()).unwrap_or(u64::MAX),
        seconds: context.seconds(),
    }
}

fn sign(
    path: &Path,
    key_file: &Path,
    to: &Path,
    number: Option<u64>,
    context: &Context,
) -> Result<Exit, Failure> {
    let text = read(path)?;
    if Stamp::of_file(&text).is_some() {
        return Err(
            Failure::usage(format!("{} is signed already", path.display()))
                .hint("sign the rules as they were written, not the signed file"),
        );
    }
    let rules = parse(&text, path)?;
    let key = read_key(key_file)?;
    let before = if to.exists() {
        let before = read(to)?;
        let (stamp, _) = Stamp::of_file(&before).ok_or_else(|| {
            Failure::usage(format!("{} holds something else", to.display()))
                .hint("only signed rules are replaced")
        })?;
        stamp.version
    } else {
        0
    };
    let version = number.unwrap_or_else(|| before.saturating_add(1));
    if version <= before {
        return Err(Failure::usage(format!(
            "the rules there have number {before}: no server takes {version} after that"
        ))
        .hint("leave `--number` out: then it is one more"));
    }
    let issued = u64::try_from(now_ms()).unwrap_or_default();
    let stamp = key.stamp(version, issued, &text);
    atomic::replace_private(to, &stamp.file(&text))
        .map_err(|error| Failure::file("write", to, &error))?;
    let summary = stamped(&stamp, &rules, context);
    context.output.line(&format!(
        "Version {version} is signed: {}",
        words::count(summary.flags, "flag", "flags")
    ));
    context
        .output
        .event(&events::summary("admin rollout sign", summary));
    Ok(Exit::Done)
}

/// Takes signed rules apart; refuses what is not signed as it must be.
fn taken<'a>(
    bytes: &'a [u8],
    operator_text: Option<&str>,
    path: &Path,
) -> Result<(Stamp, &'a [u8]), Failure> {
    let not_signed =
        |why: &str| Failure::new(Exit::Damage, format!("{} is not {why}", path.display()));
    let (stamp, text) = Stamp::of_file(bytes).ok_or_else(|| not_signed("signed"))?;
    stamp
        .verify()
        .map_err(|_| not_signed("what its operator signed"))?;
    if let Some(wanted) = operator_text
        && operator(wanted)?.to_bytes() != stamp.operator
    {
        return Err(not_signed("signed by this operator"));
    }
    Ok((stamp, text))
}

fn verify(path: &Path, operator: Option<&str>, context: &Context) -> Result<Exit, Failure> {
    let bytes = read(path)?;
    let (stamp, text) = taken(&bytes, operator, path)?;
    let rules = parse(text, path)?;
    let summary = stamped(&stamp, &rules, context);
    let output = &context.output;
    output.line(&format!(
        "Version {}, {}, signed by {}",
        summary.version,
        words::count(summary.flags, "flag", "flags"),
        summary.operator
    ));
    if operator.is_none() {
        output.say("Whether this is your operator was not asked: `--operator KEY` does");
    }
    output.event(&events::summary("admin rollout verify", summary));
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Decided<'a> {
    feature: &'a str,
    offered: bool,
    reason: &'static str,
    variant: Option<&'a str>,
    steps: Vec<Part<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    depth: usize,
    rule: &'a str,
    result: &'a str,
}

#[derive(Serialize)]
struct Explained {
    version: Option<u64>,
    offered: Vec<String>,
    seconds: f64,
}

fn explain(args: &Explain, context: &Context) -> Result<Exit, Failure> {
    let Explain {
        rules: path,
        operator,
        account: who,
        platform,
        version,
        tenant,
        region,
        feature,
    } = args;
    let bytes = read(path)?;
    let is_signed = Stamp::of_file(&bytes).is_some();
    let (stamp, text) = if is_signed || operator.is_some() {
        let (stamp, text) = taken(&bytes, operator.as_deref(), path)?;
        (Some(stamp), text)
    } else {
        (None, bytes.as_slice())
    };
    let rules = parse(text, path)?;
    let asker = Asker {
        key: who
            .as_deref()
            .map(account)
            .transpose()?
            .map(|id| id.to_text()),
        tenant: tenant.clone(),
        region: region.clone(),
        platform: platform.clone(),
        version: version.clone(),
    };
    let mut names: Vec<&str> = match feature {
        Some(feature) => vec![feature.as_str()],
        None => FEATURES.iter().copied().chain(rules.names()).collect(),
    };
    names.sort_unstable();
    names.dedup();
    let mut offered = Vec::new();
    for name in names {
        let explanation = rules.explain(name, &asker);
        show(name, &explanation, context);
        if explanation.decision.offered {
            offered.push(name.to_owned());
        }
    }
    if stamp.is_none() {
        context
            .output
            .say("These rules are not signed yet: no server takes them");
    }
    let explained = Explained {
        version: stamp.map(|stamp| stamp.version),
        offered,
        seconds: context.seconds(),
    };
    context
        .output
        .event(&events::summary("admin rollout explain", explained));
    Ok(Exit::Done)
}

fn show(feature: &str, explanation: &Explanation, context: &Context) {
    let Explanation { decision, steps } = explanation;
    let Decision {
        offered,
        variant,
        reason,
    } = decision;
    let (word, why) = reason_words(*reason);
    let output = &context.output;
    output.line(&format!(
        "{}: {}, {why}",
        words::tame(feature),
        if *offered { "offered" } else { "not offered" }
    ));
    for step in steps {
        let indent = "  ".repeat(step.depth + 1);
        output.line(&format!(
            "{indent}{} → {}",
            words::tame(&step.rule),
            words::tame(&step.result)
        ));
    }
    let parts = steps.iter().map(|step| Part {
        depth: step.depth,
        rule: &step.rule,
        result: &step.result,
    });
    let decided = Decided {
        feature,
        offered: *offered,
        reason: word,
        variant: variant.as_deref(),
        steps: parts.collect(),
    };
    output.event(&Event::new("decision", decided));
}

/// A reason as a word for programs and as one for people.
fn reason_words(reason: Reason) -> (&'static str, String) {
    match reason {
        Reason::NoRule => ("no_rule", "for no rule names it".to_owned()),
        Reason::KillSwitch => ("kill_switch", "for it is switched off".to_owned()),
        Reason::Static => ("static", "to everybody alike".to_owned()),
        Reason::Targeting => ("targeting", "by the rule's choice".to_owned()),
        Reason::Default => ("default", "for the rule chose nothing".to_owned()),
        Reason::NoAnswer(why) => (
            "no_answer",
            format!("for the rule has no answer here: {why}"),
        ),
        Reason::UnknownVariant => (
            "unknown_variant",
            "for the rule chose a variant that does not exist".to_owned(),
        ),
        _ => ("other", "for another reason".to_owned()),
    }
}
