//! `serve`: the server in this program.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use heirloom_vault::{Config, Log, Objects, ServeError, Server};
use serde::Serialize;

use crate::args::server::Serve;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events::{self, Event};

/// How often it is looked whether somebody wants it to end.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct Listening<'a> {
    url: &'a str,
    address: SocketAddr,
    data: String,
}

#[derive(Serialize)]
struct Summary {
    seconds: f64,
}

/// Serves until Ctrl-C, hang-up or termination.
pub(crate) fn run(args: &Serve, context: &Context) -> Result<Exit, Failure> {
    let data = args
        .data
        .clone()
        .unwrap_or_else(|| context.home.state().join("server"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(Exit::Failed, "the server cannot be started").because(&error)
        })?;
    let mut config = Config::new(args.listen, data.clone());
    config.log = log(context.output.json());
    if let Some(file) = &args.objects_s3_file {
        config.objects = Objects::S3 { file: file.clone() };
    }
    let failed = |error: ServeError| not_served(&error, args.listen);
    let server = runtime.block_on(Server::bind(config)).map_err(failed)?;
    let address = server.address();
    let url = url(address);
    context.output.line(&format!("Listening on {url}"));
    context
        .output
        .say(&format!("Everything lies in {}", data.display()));
    if address.ip().is_loopback() {
        context.output.say(&format!(
            "The first to sign in from this computer owns it: `heirloom login {url} --account-file FILE`"
        ));
    } else {
        context.output.warn("this is plain http: let others reach it only through a web server that speaks https (docs/hosting.md)");
    }
    context.output.event(&Event::new(
        "listening",
        Listening {
            url: &url,
            address,
            data: data.display().to_string(),
        },
    ));
    let interrupt = context.interrupt.clone();
    let stopped = async move {
        while !interrupt.is_set() {
            tokio::time::sleep(LOOK).await;
        }
    };
    runtime.block_on(server.run(stopped)).map_err(failed)?;
    context.output.say("Stopped: what was asked was answered");
    let seconds = context.seconds();
    context
        .output
        .event(&events::summary("serve", Summary { seconds }));
    Ok(Exit::Done)
}

/// As clients on this computer write it.
fn url(address: SocketAddr) -> String {
    if address.ip().is_loopback() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// The server's own lines: to standard error for people, as events where those are read.
fn log(json: bool) -> Log {
    Log::new(move |text| {
        // A log that nobody reads any more stops no server.
        let _ = if json {
            let line = serde_json::to_string(&events::Warning::new(text)).unwrap_or_default();
            writeln!(std::io::stdout(), "{line}")
        } else {
            writeln!(std::io::stderr(), "{text}")
        };
    })
}

fn not_served(error: &ServeError, listen: SocketAddr) -> Failure {
    let failure = Failure::new(Exit::Failed, "the server cannot be started");
    let failure = match error {
        ServeError::Io(error) => failure.because(error),
        other => failure.because(other),
    };
    match error {
        ServeError::Io(error) if error.kind() == std::io::ErrorKind::AddrInUse => failure.hint(format!(
            "something else answers at {listen}: stop it, or take another port: `--listen 127.0.0.1:0` takes a free one"
        )),
        ServeError::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            failure.hint("check who owns the folder; ports below 1024 are for the system")
        }
        ServeError::ObjectsFile(_) => failure.hint("docs/hosting.md shows such a file"),
        ServeError::Objects(_) => failure.hint(
            "check endpoint, bucket, region and key in the file, and that the storage answers from here",
        ),
        _ => failure,
    }
}
