//! TLS to the database: by the system's own roots or those that its address names, with names verified.

mod asked;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
mod why;

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::load_certs_from_paths;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(super) use asked::Asked;
pub(super) use why::why;

/// Makes TLS of a connection.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the certificates of the authorities in a file, or the system's; `SSL_CERT_FILE` names others for these.
    ///
    /// # Errors
    /// In words, when the file cannot be read or holds none.
    pub(crate) fn new(file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = file {
            let what = "the file of the database's authority (sslrootcert)";
            let found = load_certs_from_paths(Some(file), None);
            if let Some(error) = found.errors.first() {
                return Err(format!("{what} cannot be read: {error}"));
            }
            let (taken, _) = roots.add_parsable_certificates(found.certs);
            if taken == 0 {
                return Err(format!(
                    "{what} holds no certificate; it should hold the authority's in PEM"
                ));
            }
        } else {
            // Without any, every certificate is refused, in words.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = Connect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Connect> {
        Ok(Connect {
            config: Arc::clone(&self.0),
            // A socket of this computer has no name and no TLS.
            name: ServerName::try_from(domain.to_owned()).ok(),
        })
    }
}

/// One connection, about to be TLS.
pub(crate) struct Connect {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl TlsConnect<Socket> for Connect {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let Self { config, name } = self;
        Box::pin(async move {
            let name = name.ok_or_else(|| io::Error::other("the host's name is none"))?;
            let stream = TlsConnector::from(config).connect(name, socket).await?;
            Ok(Stream(Box::new(stream)))
        })
    }
}

/// A connection under TLS.
pub(crate) struct Stream(Box<TlsStream<Socket>>);

impl tokio_postgres::tls::TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        // The certificate is verified against the roots; SCRAM is not bound to it.
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}
