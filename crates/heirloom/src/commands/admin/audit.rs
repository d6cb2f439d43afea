//! `admin audit`: whether the logs are whole, and what operators did.

use heirloom_vault::{ActInfo, Answer, Ask, AuditInfo};
use serde::Serialize;

use super::asking::{Asking, strange};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events::{self, Event};
use crate::words;

#[derive(Serialize)]
struct Verified {
    ok: bool,
    logs: u64,
    wrong: Vec<String>,
    acts: u64,
    acts_hash: String,
    acts_wrong_from: Option<u64>,
    seconds: f64,
}

#[derive(Serialize)]
struct Entry {
    sequence: u64,
    at: Option<String>,
    act: String,
    detail: String,
}

#[derive(Serialize)]
struct Listed {
    acts: u64,
    seconds: f64,
}

pub(super) fn verify(asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    let Answer::Audit(audit) = asking.ask(&Ask::Verify)? else {
        return Err(strange());
    };
    let AuditInfo {
        logs,
        wrong,
        acts,
        acts_hash,
        acts_wrong_from,
    } = audit;
    let wrong: Vec<_> = wrong
        .iter()
        .map(heirloom_vault_api::Fixed::to_text)
        .collect();
    let ok = wrong.is_empty() && acts_wrong_from.is_none();
    let output = &context.output;
    for name in &wrong {
        output.line(&format!("The log of the password {name} is not whole"));
    }
    if let Some(first) = acts_wrong_from {
        output.line(&format!(
            "The log of operators is not whole: what is wrong shows at entry {first}"
        ));
    }
    let hash = acts_hash.to_text();
    if ok {
        output.line(&format!(
            "Nothing is missing: {}, {}",
            words::count(logs, "log of a password", "logs of passwords"),
            words::count(acts, "act of operators", "acts of operators"),
        ));
    }
    output.say(&format!(
        "Note this elsewhere, and nothing before it can be taken out unseen: {acts} {hash}"
    ));
    let verified = Verified {
        ok,
        logs,
        wrong,
        acts,
        acts_hash: hash,
        acts_wrong_from,
        seconds: context.seconds(),
    };
    output.event(&events::summary("admin audit verify", verified));
    Ok(if ok { Exit::Done } else { Exit::Damage })
}

pub(super) fn list(asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    let mut after = 0;
    loop {
        let Answer::Acts { acts } = asking.ask(&Ask::Acts { after })? else {
            return Err(strange());
        };
        let Some(last) = acts.last() else {
            break;
        };
        after = last.sequence;
        for act in acts {
            let ActInfo {
                sequence,
                time_ms,
                act,
                detail,
            } = act;
            let at = i64::try_from(time_ms).ok().and_then(words::rfc3339);
            let line = format!(
                "{sequence}  {}  {act} {detail}",
                at.as_deref().unwrap_or("at an unknown time")
            );
            context.output.line(words::tame(&line).trim_end());
            let event = Entry {
                sequence,
                at,
                act,
                detail,
            };
            context.output.event(&Event::new("act", event));
        }
    }
    let listed = Listed {
        acts: after,
        seconds: context.seconds(),
    };
    context
        .output
        .event(&events::summary("admin audit list", listed));
    Ok(Exit::Done)
}
