//! What a server offers to add, by its operator's rules. Only `protect add` asks; nothing that opens a backup does.
//!
//! The newest rules of each server are remembered: a server that shows older ones was put back, or somebody
//! answers in its place (A5).

use std::path::PathBuf;

use heirloom_vault_api::{AskOffers, Code, Fixed, Identity, NotTaken, Offers, SeenRules, Stamp};
use rand_core::Rng as _;

use super::account::remembered;
use super::witness::not_this_server;
use super::{Account, Address, CallError, Client};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{atomic, keys};

/// Refuses what the server does not offer to this account, on this platform, with this version.
pub(crate) fn refuse_what_is_not_offered(
    feature: &str,
    address: &Address,
    account: &Account,
    context: &Context,
) -> Result<(), Failure> {
    let origin = &address.origin;
    let identity = Identity::new(&account.identity).map_err(|_| not_this_server(origin))?;
    let mut nonce = Fixed([0; 32]);
    keys::rng().fill_bytes(&mut nonce.0);
    let ask = AskOffers {
        platform: std::env::consts::OS.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        nonce,
    };
    let client = Client::new(address, Some(&account.token));
    let memory = Memory::of(origin, context);
    let seen = memory.read()?;
    let offers = match client.post_again::<_, Offers>("/v1/offers", &ask) {
        Ok(offers) => offers,
        // A server from before there were rules offers everything.
        Err(CallError::Refused(problem)) if problem.code == Code::NotFound => {
            return after(seen, None, origin).map(drop);
        }
        Err(error) => return Err(error.failure(origin)),
    };
    offers
        .verify(&nonce, &account.id, &identity)
        .map_err(|_| not_this_server(origin))?;
    let now = after(seen, offers.stamp.as_ref(), origin)?;
    if now != seen {
        memory.write(now)?;
    }
    if offers.has(feature) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        format!("{} is not offered by this server yet", words(feature)),
    )
    .hint("what was added before opens as ever; who runs the server decides what can be added"))
}

fn words(feature: &str) -> &str {
    match feature {
        "passkey" => "a passkey",
        "password" => "a password",
        "recovery-key" => "another recovery key",
        other => other,
    }
}

fn after(
    seen: Option<SeenRules>,
    stamp: Option<&Stamp>,
    origin: &str,
) -> Result<Option<SeenRules>, Failure> {
    SeenRules::after(seen, stamp).map_err(|error| {
        let failure = match error {
            NotTaken::Older { .. } | NotTaken::Two(_) => Failure::new(
                Exit::Damage,
                format!("{origin} went back in time in what it offers"),
            ),
            _ => Failure::new(
                Exit::Damage,
                format!("{origin} does not show its operator's rules in what it offers"),
            ),
        };
        failure
            .because(&error)
            .hint("ask who runs the server; until you know, add nothing there. What was added before opens as ever")
    })
}

/// The newest rules that this computer saw of one server.
struct Memory(PathBuf);

impl Memory {
    fn of(origin: &str, context: &Context) -> Self {
        Self(remembered(origin, context).with_extension("rules"))
    }

    fn read(&self) -> Result<Option<SeenRules>, Failure> {
        let bytes = match std::fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file("read", &self.0, &error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            Failure::new(Exit::Failed, format!("{} makes no sense", self.0.display())).hint(
                "it holds the newest rules that were seen; remove it if you know why it is damaged",
            )
        })
    }

    fn write(&self, seen: Option<SeenRules>) -> Result<(), Failure> {
        let wrong = |error| Failure::file("write", &self.0, &error);
        let folder = self.0.parent().unwrap_or(&self.0);
        atomic::private_folder(folder).map_err(wrong)?;
        let bytes = serde_json::to_vec(&seen).unwrap_or_default();
        atomic::replace_private(&self.0, &bytes).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heirloom_vault_api::OperatorKey;
    use secrecy::SecretBox;

    #[test]
    fn rules_that_went_back_end_with_damage_and_new_ones_are_taken() {
        let operator = |seed| OperatorKey::new(SecretBox::new(Box::new([seed; 32])));
        let stamp = |version| operator(1).stamp(version, 0, b"{}");
        let seen = after(None, Some(&stamp(5)), "x").unwrap();
        assert_eq!(
            after(seen, Some(&stamp(6)), "x").unwrap().unwrap().version,
            6
        );
        for wrong in [
            None,
            Some(stamp(4)),
            Some(operator(1).stamp(5, 0, b"{ }")),
            Some(operator(2).stamp(9, 0, b"{}")),
        ] {
            let failure = after(seen, wrong.as_ref(), "x").unwrap_err();
            assert_eq!(failure.exit, Exit::Damage);
        }
        assert_eq!(after(None, None, "x").unwrap(), None);
    }
}
