//! Signing in with a passkey: the server's page in a browser, and the way back to this process.

use std::time::Duration;

use heirloom_vault_api::{
    DeviceName, Fixed, SignInFinish, SignInStart, SignInStarted, TenantName, Verifier,
};
use rand_core::Rng as _;
use url::Url;

use super::loopback::Loopback;
use super::{Address, CallError, Client};
use crate::args::shared::Browser;
use crate::browser::Form;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys;

/// As long as the server remembers a sign-in that was begun.
pub(super) const TIME: Duration = Duration::from_mins(5);

pub(super) fn random<const N: usize>() -> Fixed<N> {
    let mut bytes = [0; N];
    keys::rng().fill_bytes(&mut bytes);
    Fixed(bytes)
}

/// Begins at `path`, has the page asked in a browser, and gives what ends it.
pub(crate) fn on_page(
    client: &Client,
    path: &str,
    tenant: Option<TenantName>,
    name: Option<DeviceName>,
    browser: &Browser,
    context: &Context,
) -> Result<SignInFinish, Failure> {
    let origin = client.origin().to_owned();
    let (verifier, state) = (Verifier(random()), random::<16>());
    let start = SignInStart {
        tenant,
        challenge: verifier.challenge(),
    };
    let SignInStarted { session, page } = client
        .post_once(path, &start)
        .map_err(|error| not_begun(error, &origin))?;
    let page = checked(&page, &origin)?;
    let loopback = Loopback::listen(state).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "no port of this computer is free for the browser",
        )
        .because(&error)
    })?;
    context
        .output
        .say("Next, your browser asks for your fingerprint, face or screen lock.");
    let fields = [
        ("session", session.to_text()),
        ("port", loopback.port().to_string()),
        ("state", state.to_text()),
    ];
    let fields = fields
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let form = Form::open(&page, &fields, browser, context)?;
    let code = {
        let _at_once = context.interrupt.at_once(Some(form.path()));
        loopback.wait(TIME)
    };
    let code = code.ok_or_else(|| {
        Failure::new(
            Exit::NeedsUnlock,
            "no passkey was confirmed in the browser within 5 minutes",
        )
        .hint("run this again; the page says what went wrong")
    })?;
    Ok(SignInFinish {
        session,
        code,
        verifier,
        name,
    })
}

/// What a server says that begins no sign-in.
pub(super) fn not_begun(error: CallError, origin: &str) -> Failure {
    match error.code() {
        Some(heirloom_vault_api::Code::NotFound) => {
            Failure::new(Exit::Failed, format!("{origin} takes no passkeys"))
                .hint("use another way: `--invite CODE`")
        }
        _ => error.failure(origin),
    }
}

/// The page that the server names: as safe as the server itself, and nothing that could leave the form.
fn checked(page: &str, origin: &str) -> Result<String, Failure> {
    let bad = || {
        Failure::new(
            Exit::Failed,
            format!("{origin} names a page that is not opened"),
        )
        .hint("ask who runs the server")
    };
    let base = page.strip_suffix("/signin").ok_or_else(bad)?;
    let address = Address::parse(base).map_err(|_| bad())?;
    let url = Url::parse(page).map_err(|_| bad())?;
    let server = Address::parse(origin).map_err(|_| bad())?;
    // The rule for the page that asks for passkeys of a backup holds for this one, too.
    let beside = format!("{base}/ceremony");
    let is_its_own = url
        .host_str()
        .is_some_and(|host| super::ceremony::checked(host, &beside, &server).is_some());
    let is_plain = address.origin == base && url.as_str() == page;
    let breaks_out = page.contains(['"', '<', '>', '&', '\'']);
    (is_its_own && is_plain && !breaks_out)
        .then(|| page.to_owned())
        .ok_or_else(bad)
}

/// A name for the list of devices; control characters and what is too long go.
pub(crate) fn device_name(given: Option<&str>, context: &Context) -> Option<DeviceName> {
    let name = crate::device::name(given, &context.settings);
    let name: String = crate::words::tame(&name)
        .chars()
        .filter(|c| *c != '\u{fffd}')
        .take(80)
        .collect();
    DeviceName::new(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_have_just_any_page_opened() {
        let https = "https://vault.example.org";
        for (page, origin) in [
            ("https://vault.example.org/signin", https),
            ("https://example.org/signin", https),
            ("http://localhost:8750/signin", "http://127.0.0.1:8750"),
        ] {
            assert_eq!(checked(page, origin).unwrap(), page);
        }
        for page in [
            "https://example.com/signin",
            "https://vault.example.org.evil.example/signin",
            "https://other.example.org/signin",
            "http://localhost:8750/signin",
            "http://vault.example.org/signin",
            "https://vault.example.org/",
            "https://vault.example.org/a/signin",
            "https://vault.example.org?\"><script>/signin",
            "https://user@vault.example.org/signin",
            "javascript:alert(1)//signin",
            "file:///etc/passwd/signin",
            "",
        ] {
            assert_eq!(
                checked(page, https).unwrap_err().exit,
                Exit::Failed,
                "{page}"
            );
        }
    }
}
