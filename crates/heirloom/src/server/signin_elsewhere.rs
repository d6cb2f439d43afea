//! Signing in with a passkey on another device, for a computer without a browser. `docs/ceremony.md`, section 9.4.

use std::io;

use heirloom_ceremony::{BegunSignIn, CeremonyError, PublicKeys, SignIn};
use heirloom_vault_api::{
    CeremonySite, DeviceName, ElsewhereStart, ElsewhereStarted, Fixed, SignInFinish, TenantName,
    Verifier,
};

use super::signin::{TIME, not_begun, random};
use super::{Address, Client, ceremony};
use crate::browser::{self, scan};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys;

/// Has another device's page sign in as `name`, and gives what ends it. The page waits to be told how it ended: dropping
/// what is given says that this computer is not signed in.
pub(crate) fn on_other_device(
    address: &Address,
    tenant: Option<&TenantName>,
    name: DeviceName,
    context: &Context,
) -> Result<(SignInFinish, SignIn), Failure> {
    let verifier = Verifier(random());
    let mut refused = None;
    let mut code = String::new();
    let mut begin = |public: PublicKeys<'_>| {
        let started = start(address, tenant, &name, &verifier, public, context);
        let started = started.map_err(|failure| {
            refused = Some(failure);
            io::Error::from(io::ErrorKind::Other)
        })?;
        code.clone_from(&started.begun.code);
        Ok(started)
    };
    let waiting = SignIn::begin(TIME, &mut begin, &mut keys::rng());
    let (mut page, link) =
        waiting.map_err(|error| refused.take().unwrap_or_else(|| failure(error)))?;
    scan::show_sign_in(&link, &code, name.as_str(), context)?;
    let code = Fixed(page.ask().map_err(failure)?);
    let finish = SignInFinish {
        session: Fixed(page.sign_in()),
        code,
        verifier,
        name: Some(name),
    };
    Ok((finish, page))
}

fn start(
    address: &Address,
    tenant: Option<&TenantName>,
    name: &DeviceName,
    verifier: &Verifier,
    public: PublicKeys<'_>,
    context: &Context,
) -> Result<BegunSignIn, Failure> {
    let client = Client::new(address, None);
    let start = ElsewhereStart {
        tenant: tenant.cloned(),
        challenge: verifier.challenge(),
        name: name.clone(),
        keys: ceremony::wire(public)?,
    };
    let ElsewhereStarted {
        session,
        site: CeremonySite { rp_id, page },
        handover,
    } = client
        .post_once("/v1/signin/elsewhere", &start)
        .map_err(|error| not_begun(error, &address.origin))?;
    let site = ceremony::checked(&rp_id, &page, address).ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            format!("{} names a page that is not shown", address.origin),
        )
        .hint("ask who runs the server, or use another way: `--approve`, `--invite CODE`")
    })?;
    Ok(BegunSignIn {
        site,
        sign_in: session.0,
        begun: ceremony::relayed(client, handover, context),
    })
}

/// What a sign-in that gave nothing means. Nothing was stored because of it.
fn failure(error: CeremonyError) -> Failure {
    let in_other_words = match &error {
        CeremonyError::Cancelled => Some("you cancelled on the other device"),
        CeremonyError::TimedOut => {
            Some("no passkey was confirmed on the other device within 5 minutes")
        }
        _ => None,
    };
    let hint = match &error {
        CeremonyError::BadAnswer(_) => Some(
            "this computer is not signed in; somebody may be in between: run the command again and scan its new code",
        ),
        CeremonyError::Cancelled | CeremonyError::TimedOut => Some(
            "this computer is not signed in; run the command again, or use another way: `--approve`, `--invite CODE`",
        ),
        _ => None,
    };
    let failure = browser::failure(error);
    let failure = match in_other_words {
        Some(words) => Failure::new(failure.exit, words),
        None => failure,
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heirloom_ceremony::BadAnswer;

    #[test]
    fn who_is_not_signed_in_is_told_so_and_what_to_do() {
        for (error, exit, words) in [
            (
                CeremonyError::Cancelled,
                Exit::NeedsUnlock,
                "you cancelled on the other device",
            ),
            (
                CeremonyError::TimedOut,
                Exit::NeedsUnlock,
                "no passkey was confirmed on the other device within 5 minutes",
            ),
            (
                CeremonyError::BadAnswer(BadAnswer::Sealing),
                Exit::NeedsUnlock,
                "the browser's answer was refused: what it carried was changed on the way",
            ),
        ] {
            let failure = failure(error);
            assert_eq!((failure.exit, failure.message.as_str()), (exit, words));
            let hint = failure.hint.unwrap();
            assert!(hint.starts_with("this computer is not signed in"), "{hint}");
        }
        let interrupted = CeremonyError::Relay(io::ErrorKind::Interrupted.into());
        assert_eq!(failure(interrupted).exit, Exit::Interrupted);
        let other = failure(CeremonyError::NotLetIn);
        assert_eq!(other.message, "this passkey does not sign in there");
        assert!(other.hint.unwrap().contains("another passkey"));
    }
}
