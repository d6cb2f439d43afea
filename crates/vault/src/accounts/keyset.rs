//! Where issuers keep their public keys: a file, or an address that `OpenID` Connect Discovery names.

use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

/// The longest document.
const MAX_BYTES: usize = 256 << 10;

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Reads a JWKS file.
pub(super) async fn read(path: &Path) -> Result<Bytes, String> {
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    file.take(most)
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes.into())
}

/// Asks an issuer for its keys (`OpenID` Connect Discovery 1.0, section 4). Redirects are not followed.
pub(super) async fn discover(issuer: &str, time: Duration) -> Result<Bytes, String> {
    let ask = async {
        let address = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let Discovery {
            issuer: stated,
            jwks_uri,
        } = serde_json::from_slice(&get(&address).await?)
            .map_err(|_| "its discovery document cannot be read".to_owned())?;
        // "The issuer value returned MUST be identical to the Issuer URL" (section 4.3).
        if stated != issuer {
            return Err("its discovery document is another issuer's".to_owned());
        }
        let was_safe = issuer.starts_with("https://");
        if was_safe && !jwks_uri.starts_with("https://") {
            return Err("its keys are not behind https".to_owned());
        }
        get(&jwks_uri).await
    };
    tokio::time::timeout(time, ask)
        .await
        .map_err(|_| "its issuer did not answer in time".to_owned())?
}

async fn get(address: &str) -> Result<Bytes, String> {
    let uri: Uri = address
        .parse()
        .map_err(|_| "its issuer names no address".to_owned())?;
    let is_local = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if uri.scheme_str() != Some("https") && !(uri.scheme_str() == Some("http") && is_local) {
        return Err("its issuer's address is not https".to_owned());
    }
    let tls = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::aws_lc_rs::default_provider().into(),
    )
    .with_protocol_versions(&[&rustls::version::TLS13])
    .map_err(|error| error.to_string())?;
    let roots = roots();
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::get(uri)
        .header(header::ACCEPT, "application/json")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let answer = client
        .request(request)
        .await
        .map_err(|_| "its issuer cannot be reached".to_owned())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("its issuer answered {}", answer.status().as_u16()));
    }
    let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|_| "its issuer's answer is too long or broke off".to_owned())
}

/// The system's own roots.
fn roots() -> rustls::RootCertStore {
    let mut store = rustls::RootCertStore::empty();
    // A root that cannot be read is one fewer that is trusted.
    let _ = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}
