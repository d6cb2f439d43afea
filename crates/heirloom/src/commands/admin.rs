//! `admin`: what the operator of a server does. One file for each group.

mod asking;
mod audit;
mod rollout;
mod status;
mod users;

use std::path::PathBuf;

use heirloom_vault::Ask;
use heirloom_vault_api::TenantName;
use serde::Serialize;

use self::asking::Asking;
use crate::args::admin::{Admin, AdminCommand, AuditCommand, GenerationCommand, KeysCommand};
use crate::args::admin::{LocksCommand, ServeRollout};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events;

/// Does what was asked.
pub(crate) fn run(args: &Admin, context: &Context) -> Result<Exit, Failure> {
    if let AdminCommand::Rollout { command } = &args.command {
        return rollout::run(command, context);
    }
    let asking = Asking::new(&data(args, context));
    match &args.command {
        AdminCommand::Users { command } => users::run(command, &asking, context),
        AdminCommand::Invite { tenant } => invite(tenant.as_deref(), &asking, context),
        AdminCommand::Locks {
            command: LocksCommand::List,
        } => status::locks(&asking, context),
        AdminCommand::Generation {
            command: GenerationCommand::Accept { yes },
        } => status::accept(*yes, &asking, context),
        AdminCommand::Audit {
            command: AuditCommand::Verify,
        } => audit::verify(&asking, context),
        AdminCommand::Audit {
            command: AuditCommand::List,
        } => audit::list(&asking, context),
        AdminCommand::Keys {
            command: KeysCommand::Status,
        } => status::keys(&asking, context),
        AdminCommand::Keys {
            command: KeysCommand::Rotate,
        } => status::rotate(&asking, context),
        AdminCommand::Stats => status::stats(&asking, context),
        AdminCommand::Rollout { command } => rollout::run(command, context),
    }
}

fn data(args: &Admin, context: &Context) -> PathBuf {
    args.data
        .clone()
        .unwrap_or_else(|| context.home.state().join("server"))
}

/// Whether the server that runs on this folder says that its wrapping key lies in an HSM.
pub(crate) fn is_in_hsm(data: &std::path::Path) -> bool {
    let answer = Asking::new(data).ask(&Ask::Keys);
    matches!(answer, Ok(heirloom_vault::Answer::Keys(keys)) if keys.custody == "hsm")
}

/// What `serve` was told about its roll-out.
pub(crate) fn of_serve(
    args: &ServeRollout,
    config: &mut Option<heirloom_vault::RolloutConfig>,
) -> Result<(), Failure> {
    let ServeRollout {
        rollout,
        rollout_operator,
        region,
    } = args;
    if let (Some(file), Some(operator)) = (rollout, rollout_operator) {
        *config = Some(heirloom_vault::RolloutConfig {
            file: file.clone(),
            operator: rollout::operator(operator)?,
            region: config.take().and_then(|before| before.region),
        });
    }
    if let (Some(region), Some(config)) = (region, config) {
        config.region = Some(region.clone());
    }
    Ok(())
}

#[derive(Serialize)]
struct Invited<'a> {
    invite: &'a str,
    seconds: f64,
}

fn invite(tenant: Option<&str>, asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    let tenant = tenant
        .map(|name| {
            TenantName::new(name)
                .ok_or_else(|| Failure::usage("a tenant's name has 1 to 32 of a-z, 0-9 and -"))
        })
        .transpose()?;
    let invite = asking.invite(&Ask::Invite { tenant })?.0.to_text();
    context.output.line(&invite);
    context
        .output
        .say("Good once, for a day: `heirloom login URL --invite-file FILE --account-file FILE`");
    let seconds = context.seconds();
    let summary = Invited {
        invite: &invite,
        seconds,
    };
    context
        .output
        .event(&events::summary("admin invite", summary));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use heirloom_vault::RolloutConfig;
    use heirloom_vault_api::OperatorKey;
    use secrecy::SecretBox;

    use super::*;

    fn key(seed: u8) -> heirloom_vault_api::OperatorPublic {
        OperatorKey::new(SecretBox::new(Box::new([seed; 32]))).public()
    }

    #[test]
    fn flags_go_before_the_configurations_roll_out_and_a_region_alone_changes_no_rules() {
        let of_flags = |rules: bool, region: Option<&str>, before: Option<RolloutConfig>| {
            let args = ServeRollout {
                rollout: rules.then(|| "flags.signed".into()),
                rollout_operator: rules.then(|| key(2).to_bytes().to_text()),
                region: region.map(str::to_owned),
            };
            let mut config = before;
            of_serve(&args, &mut config).unwrap();
            config
        };
        let configured = || RolloutConfig {
            file: "config.signed".into(),
            operator: key(1),
            region: Some("eu".into()),
        };
        assert!(of_flags(false, Some("us"), None).is_none());
        let kept = of_flags(false, None, Some(configured())).unwrap();
        assert!(kept.operator == key(1) && kept.region.as_deref() == Some("eu"));
        let moved = of_flags(false, Some("us"), Some(configured())).unwrap();
        assert!(moved.operator == key(1) && moved.region.as_deref() == Some("us"));
        let other = of_flags(true, None, Some(configured())).unwrap();
        assert_eq!(other.file, std::path::Path::new("flags.signed"));
        assert!(other.operator == key(2) && other.region.as_deref() == Some("eu"));
        assert!(of_flags(true, None, None).unwrap().region.is_none());
    }
}
