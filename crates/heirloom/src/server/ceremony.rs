//! A server's page for passkeys that open a backup: which one it is, and the relay to another device.

use std::io;

use heirloom_ceremony::{Begun, Handed, LOCALHOST, PublicKeys, Relay, Seen, Site};
use heirloom_vault_api::{
    Bytes, CeremonySite, Code, Fixed, HandoverAsk, HandoverEnd, HandoverKeys, HandoverSealed,
    HandoverStart, HandoverStarted, HandoverState, HandoverWait,
};
use url::{Host, Url};

use super::{Account, Address, CallError, Client};
use crate::args::shared::Via;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// Where passkeys for the backup at `place` are asked for, and new ones are for. `None`: on this program's own page.
///
/// A server that is tried out on this computer has a page for `localhost` too; it is used when `via` says so.
pub(crate) fn site(
    place: &str,
    via: Option<Via>,
    context: &Context,
) -> Result<Option<Site>, Failure> {
    if via == Some(Via::Local) {
        return Ok(None);
    }
    let site = if Address::is_one(place) {
        of_server(&Address::parse(place)?, context)?
    } else {
        None
    };
    match (site, via) {
        (None, Some(_)) => Err(Failure::usage(format!(
            "{place} has no page of its own for passkeys, which `--via` asks for"
        ))
        .hint("leave `--via` out, or use `--via local`: a page of this computer")),
        (Some(site), None) if site.rp_id() == LOCALHOST => Ok(None),
        (site, _) => Ok(site),
    }
}

fn of_server(address: &Address, context: &Context) -> Result<Option<Site>, Failure> {
    let Some(account) = Account::find(address, context)? else {
        return Ok(None);
    };
    let client = Client::new(address, Some(&account.token));
    let CeremonySite { rp_id, page } = match client.get("/v1/ceremony") {
        Ok(site) => site,
        Err(error) if error.code() == Some(Code::NotFound) => return Ok(None),
        Err(error) => return Err(error.failure(&address.origin)),
    };
    checked(&rp_id, &page, address).map(Some).ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            format!(
                "{} names a page for passkeys that is not opened",
                address.origin
            ),
        )
        .hint("ask who runs the server; `--via local` asks on a page of this computer")
    })
}

/// The site that a server names, where it is its own: of its domain, or of one above it.
pub(super) fn checked(rp_id: &str, page: &str, address: &Address) -> Option<Site> {
    let site = Site::new(rp_id, page)?;
    let url = Url::parse(&address.origin).ok()?;
    let is_its_own = match url.host()? {
        Host::Domain(host) => {
            host == rp_id
                || host
                    .strip_suffix(rp_id)
                    .is_some_and(|rest| rest.ends_with('.'))
        }
        // An address is no domain; on this computer both mean the same server.
        Host::Ipv4(_) | Host::Ipv6(_) => address.is_local() && rp_id == LOCALHOST,
    };
    let is_as_safe = address.is_local() || page.starts_with("https://");
    (is_its_own && is_as_safe).then_some(site)
}

/// Begins a session with another device.
pub(crate) fn begin(
    place: &str,
    keys: PublicKeys<'_>,
    context: &Context,
) -> Result<Begun, Failure> {
    let address = Address::parse(place)?;
    let account = Account::needed(&address, context)?;
    let client = Client::new(&address, Some(&account.token));
    let keys = wire(keys)?;
    let started = client
        .post_once("/v1/handovers", &HandoverStart { keys })
        .map_err(|error| error.failure(&address.origin))?;
    Ok(relayed(client, started, context))
}

/// The keys as a server takes them.
pub(super) fn wire(keys: PublicKeys<'_>) -> Result<HandoverKeys, Failure> {
    let bad = || {
        Failure::new(
            Exit::Failed,
            "the keys for the other device could not be made",
        )
    };
    Ok(HandoverKeys {
        x_wing: Fixed(keys.x_wing.try_into().map_err(|_| bad())?),
        x25519: Fixed(keys.x25519.try_into().map_err(|_| bad())?),
    })
}

/// The session that a server began.
pub(super) fn relayed(client: Client, started: HandoverStarted, context: &Context) -> Begun {
    let HandoverStarted {
        session,
        ticket,
        code,
    } = started;
    // What a server made up does not steer a terminal.
    let code = crate::words::tame(&code).chars().take(12).collect();
    let relay = ServerRelay {
        client,
        session,
        ticket,
        interrupt: context.interrupt.clone(),
    };
    Begun {
        relay: Box::new(relay),
        session: session.0,
        code,
    }
}

/// A session of a server's relay.
#[derive(Debug)]
struct ServerRelay {
    client: Client,
    session: Fixed<16>,
    ticket: Fixed<16>,
    interrupt: Interrupt,
}

impl ServerRelay {
    fn failed(&self, error: CallError) -> io::Error {
        if error.code() == Some(Code::NotFound) {
            return io::ErrorKind::NotFound.into();
        }
        io::Error::other(error.failure(self.client.origin()).message)
    }
}

impl Relay for ServerRelay {
    fn ask(&mut self, number: u64, request: &[u8]) -> io::Result<()> {
        let request =
            Bytes::new(request.to_vec()).ok_or_else(|| io::Error::other("it is too long"))?;
        let ask = HandoverAsk {
            session: self.session,
            ticket: self.ticket,
            number,
            request,
        };
        let asked: Result<serde_json::Value, _> = self.client.post_again("/v1/handovers/ask", &ask);
        match asked {
            Ok(_) => Ok(()),
            // An answer was lost on the way, and it was asked again.
            Err(error) if error.code() == Some(Code::Conflict) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn look(&mut self) -> io::Result<Seen> {
        if self.interrupt.is_set() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let wait = HandoverWait {
            session: self.session,
            ticket: self.ticket,
        };
        let HandoverState { seen, answer } = self
            .client
            .post_again("/v1/handovers/wait", &wait)
            .map_err(|error| self.failed(error))?;
        let answer = answer.map(
            |HandoverSealed {
                 suite,
                 encapsulated,
                 sealed,
             }| Handed {
                suite,
                encapsulated: encapsulated.into_bytes(),
                sealed: sealed.into_bytes(),
            },
        );
        Ok(Seen {
            request: seen,
            answer,
        })
    }

    fn end(&mut self) {
        let end = HandoverEnd {
            session: self.session,
            ticket: self.ticket,
        };
        // It ends by itself after ten minutes.
        let _: Result<serde_json::Value, _> = self.client.post_once("/v1/handovers/end", &end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_names_a_page_of_its_own_domain_or_none() {
        let is_taken = |rp_id: &str, page: &str, server: &str| {
            checked(rp_id, page, &Address::parse(server).unwrap()).is_some()
        };
        let vault = "https://vault.example.org";
        assert!(is_taken(
            "example.org",
            "https://example.org/ceremony",
            vault
        ));
        assert!(is_taken(
            "vault.example.org",
            "https://vault.example.org/ceremony",
            vault
        ));
        for server in [
            "http://127.0.0.1:8750",
            "http://localhost:8750",
            "http://[::1]:8750",
        ] {
            assert!(
                is_taken("localhost", "http://localhost:8750/ceremony", server),
                "{server}"
            );
        }
        for (rp_id, page) in [
            ("example.com", "https://example.com/ceremony"),
            ("ample.org", "https://ample.org/ceremony"),
            ("other.example.org", "https://other.example.org/ceremony"),
            ("localhost", "http://localhost:8750/ceremony"),
            ("example.org", "http://example.org/ceremony"),
        ] {
            assert!(!is_taken(rp_id, page, vault), "{page}");
        }
        let local = "http://127.0.0.1:8750";
        assert!(!is_taken(
            "example.org",
            "https://example.org/ceremony",
            local
        ));
    }
}
