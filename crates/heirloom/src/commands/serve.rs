//! `serve`: the server in this program.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use heirloom_vault::{
    Clock as _, Config, ConfigFile, Log, LogFormat, Objects, Pkcs11, Postgres, ServeError, Server,
    SystemClock, Tenants, Traces,
};
use serde::Serialize;

use crate::args::server::{Hsm, LogLines, Serve};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_address: Option<SocketAddr>,
    data: String,
}

#[derive(Serialize)]
struct Summary {
    seconds: f64,
}

/// Serves until Ctrl-C, hang-up or termination.
pub(crate) fn run(args: &Serve, context: &Context) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(Exit::Failed, "the server cannot be started").because(&error)
        })?;
    let mut config = config(args, context)?;
    let (listen, data) = (config.listen, config.data.clone());
    if let Some(file) = &args.database_url_file {
        config.database = Some(Postgres::from_file(file).map_err(|error| {
            Failure::new(Exit::Failed, "the server cannot be started")
                .because(&error)
                .hint("its one line is like postgres://heirloom:PASSWORD@HOST/DATABASE: docs/hosting.md")
        })?);
    }
    if let Some(file) = &args.objects_s3_file {
        config.objects = Objects::S3 { file: file.clone() };
    }
    if let Some(file) = &args.key_file {
        config.key_file.clone_from(file);
    }
    if let Some(file) = &args.tenants_file {
        config.tenants = Tenants::read(file).map_err(|error| {
            Failure::usage(format!("{}: {error}", file.display()))
                .hint("docs/hosting.md shows such a file")
        })?;
    }
    hsm(&args.hsm, &mut config)?;
    super::admin::of_serve(&args.rollout, &mut config.rollout)?;
    let failed = |error: ServeError| not_served(&error, listen);
    let server = runtime.block_on(Server::bind(config)).map_err(failed)?;
    let (address, admin_address) = (server.address(), server.admin_address());
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
            admin_address,
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

/// An HSM that flags or the environment name goes before the configuration's; a PIN file alone takes the place of its PIN file.
fn hsm(args: &Hsm, config: &mut Config) -> Result<(), Failure> {
    let Hsm {
        hsm_module,
        hsm_token,
        hsm_pin_file,
    } = args;
    let named = (hsm_module, hsm_token, hsm_pin_file);
    match (named, &mut config.hsm) {
        ((None, None, None), _) => {}
        ((Some(module), Some(token), Some(pin_file)), hsm) => {
            *hsm = Some(Pkcs11 {
                module: module.clone(),
                token: token.clone(),
                pin_file: pin_file.clone(),
            });
        }
        ((None, None, Some(pin_file)), Some(hsm)) => hsm.pin_file.clone_from(pin_file),
        _ => {
            return Err(Failure::usage("an HSM needs its module, a token and a file with the PIN")
                .hint("add `--hsm-module FILE --hsm-token LABEL --hsm-pin-file FILE`, or name module and token in the configuration"));
        }
    }
    Ok(())
}

/// What the command line, the environment and the configuration file say, in this order.
fn config(args: &Serve, context: &Context) -> Result<Config, Failure> {
    let file = match &args.config {
        None => ConfigFile::default(),
        Some(path) => ConfigFile::read(path).map_err(|error| {
            Failure::usage(format!("{}: {error}", path.display()))
                .hint("docs/hosting.md says what it may hold")
        })?,
    };
    let listen = args
        .listen
        .or(file.listen)
        .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8750)));
    let data = args
        .data
        .clone()
        .or_else(|| {
            // Like every path in it: from the folder that the file lies in.
            let folder = args.config.as_deref().and_then(std::path::Path::parent);
            let data = file.data.as_ref()?;
            Some(folder.map_or_else(|| data.clone(), |folder| folder.join(data)))
        })
        .unwrap_or_else(|| context.home.state().join("server"));
    let lines = match args.log {
        Some(LogLines::Text) => Some(LogFormat::Text),
        Some(LogLines::Json) => Some(LogFormat::Json),
        None => file.log,
    };
    let mut config = Config::new(listen, data);
    config.admin_listen = args.admin_listen.or(file.admin_listen);
    config.log = match lines {
        Some(LogFormat::Json) => log_of_json(),
        Some(LogFormat::Text) | None => log(context.output.json()),
    };
    let refused = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
    file.apply(&mut config).map_err(|error| refused(&error))?;
    if let Some(endpoint) = &args.otlp_endpoint {
        let traces = Traces::new(endpoint).map_err(|error| refused(&error))?;
        config.traces = Some(traces);
    }
    if !args.trusted_proxy.is_empty() {
        config.proxies.trusted.clone_from(&args.trusted_proxy);
    }
    Ok(config)
}

/// One JSON object a line on standard error, whatever else is asked for.
fn log_of_json() -> Log {
    Log::structured(|entry| {
        // A log that nobody reads any more stops no server.
        let _ = writeln!(std::io::stderr(), "{}", entry.to_json(SystemClock.now_ms()));
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hsm_of(args: [Option<&str>; 3], before: Option<Pkcs11>) -> Result<Option<Pkcs11>, Failure> {
        let [module, token, pin_file] = args;
        let args = Hsm {
            hsm_module: module.map(Into::into),
            hsm_token: token.map(Into::into),
            hsm_pin_file: pin_file.map(Into::into),
        };
        let mut config = Config::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "/data".into());
        config.hsm = before;
        hsm(&args, &mut config)?;
        Ok(config.hsm)
    }

    fn configured() -> Pkcs11 {
        Pkcs11 {
            module: "/lib/a.so".into(),
            token: "a".into(),
            pin_file: "/etc/pin".into(),
        }
    }

    #[test]
    fn an_hsm_is_named_whole_or_given_another_pin_file() {
        let (module, token, pin) = (Some("/lib/b.so"), Some("b"), Some("/run/secrets/pin"));
        assert!(hsm_of([None; 3], None).unwrap().is_none());
        let kept = hsm_of([None; 3], Some(configured())).unwrap().unwrap();
        assert_eq!(kept.pin_file, configured().pin_file);
        let moved = hsm_of([None, None, pin], Some(configured()))
            .unwrap()
            .unwrap();
        assert_eq!(moved.token, "a");
        assert_eq!(moved.pin_file, std::path::Path::new("/run/secrets/pin"));
        for before in [None, Some(configured())] {
            let named = hsm_of([module, token, pin], before).unwrap().unwrap();
            assert_eq!(named.token, "b");
        }
        for (args, before) in [
            ([None, None, pin], None),
            ([None, token, pin], Some(configured())),
            ([module, None, pin], None),
            ([module, token, None], None),
        ] {
            assert_eq!(
                hsm_of(args, before).unwrap_err().exit,
                Exit::Usage,
                "{args:?}"
            );
        }
    }
}
