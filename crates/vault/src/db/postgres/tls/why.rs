//! Why a connection was not made, in words that say what to do next.

use std::error::Error as _;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// What to do about a connection that could not be made; `None` where the database itself said no.
///
/// The words hold nothing of the address, and nothing that the other side sent.
pub(crate) fn why(error: &tokio_postgres::Error) -> Option<String> {
    if error.as_db_error().is_some() {
        return None;
    }
    let source = error.source()?;
    // The library's own words, and no type of its own.
    if source.to_string() == "server does not support TLS" {
        let text = "the database offers no TLS, and nothing was sent to it in the clear; \
             give it a certificate and set `ssl = on` (on this computer, leave sslmode out of the address instead)";
        return Some(text.to_owned());
    }
    let source = source.downcast_ref::<io::Error>()?;
    let tls = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    Some(match tls {
        Some(error) => of_tls(error),
        None => format!(
            "the database is not reached: {}; see that it runs, and that the address names its host and port",
            source.kind()
        ),
    })
}

fn of_tls(error: &Error) -> String {
    use CertificateError as Wrong;
    match error {
        Error::InvalidCertificate(Wrong::UnknownIssuer | Wrong::BadSignature) => {
            "the database's certificate is from an authority that is not known here; add \
             sslrootcert=FILE with the authority's certificate to the address"
                .to_owned()
        }
        Error::InvalidCertificate(Wrong::NotValidForName | Wrong::NotValidForNameContext { .. }) => {
            "the database's certificate is for another name than the address says; name the host as its \
             certificate does, or give it one for this name"
                .to_owned()
        }
        Error::InvalidCertificate(
            Wrong::Expired
            | Wrong::ExpiredContext { .. }
            | Wrong::NotValidYet
            | Wrong::NotValidYetContext { .. },
        ) => "the database's certificate has expired or is not valid yet; renew it, or set this computer's clock"
            .to_owned(),
        Error::InvalidCertificate(other) => {
            format!("the database's certificate is refused ({other}); give it another one")
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the database does not speak TLS 1.3; let it (ssl_max_protocol_version), with OpenSSL 1.1.1 or newer"
            .to_owned(),
        other => format!("no TLS with the database: {other}; look into its log"),
    }
}
