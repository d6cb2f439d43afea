//! `login` and `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::shared::Browser;

const SERVE_EXAMPLES: &str = "\
Examples:
  heirloom serve
  heirloom serve --listen 127.0.0.1:9000 --data /srv/heirloom
  heirloom serve --config /etc/heirloom/server.toml

It needs no configuration: a database and a folder of objects are made under --data. It ends with Ctrl-C or SIGTERM, when
what was asked is answered. For other computers, put it behind a web server that speaks https: docs/hosting.md";

/// Runs a server: it keeps backups that it cannot read, and counts wrong passwords.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct Serve {
    /// A configuration in TOML; what stands on the command line goes before it
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_SERVE_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,
    /// Where it answers, else 127.0.0.1:8750; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR",
        env = "HEIRLOOM_LISTEN",
        hide_env_values = true
    )]
    pub(crate) listen: Option<SocketAddr>,
    /// A second port, for you alone: /healthz, /readyz and /metrics
    #[arg(
        long,
        value_name = "ADDR",
        env = "HEIRLOOM_ADMIN_LISTEN",
        hide_env_values = true
    )]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// The folder of its database, keys and objects; else `server` where Heirloom keeps its state
    #[arg(
        long,
        value_name = "DIR",
        env = "HEIRLOOM_DATA",
        hide_env_values = true
    )]
    pub(crate) data: Option<PathBuf>,
    /// A file with PostgreSQL's address, instead of a database in the folder
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_DATABASE_URL_FILE",
        hide_env_values = true
    )]
    pub(crate) database_url_file: Option<PathBuf>,
    /// A file that says on which S3-compatible storage objects lie, and how to get in; else they lie in the folder
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_OBJECTS_S3_FILE",
        hide_env_values = true
    )]
    pub(crate) objects_s3_file: Option<PathBuf>,
    /// The file of the server's own keys, else `server.keys` in the folder
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_KEY_FILE",
        hide_env_values = true
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// A file that says whose users sign in, and how
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_TENANTS_FILE",
        hide_env_values = true
    )]
    pub(crate) tenants_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) hsm: Hsm,
    /// A web server in front whose X-Forwarded-For is believed: an address or a network; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub(crate) trusted_proxy: Vec<heirloom_vault::Network>,
    /// How lines are written to standard error: text, or json with one line for each request
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log: Option<LogLines>,
    /// A collector of traces (OTLP over HTTP): it gets a line for each request, and nothing of a person
    #[arg(
        long,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        hide_env_values = true
    )]
    pub(crate) otlp_endpoint: Option<String>,
    #[command(flatten)]
    pub(crate) rollout: super::admin::ServeRollout,
}

/// An HSM that holds the wrapping key.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_field_names,
    reason = "the flags are called like the fields"
)]
pub(crate) struct Hsm {
    /// The HSM's PKCS#11 module: the wrapping key lies there instead of in the key file
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_HSM_MODULE",
        hide_env_values = true,
        requires_all = ["hsm_token", "hsm_pin_file"]
    )]
    pub(crate) hsm_module: Option<PathBuf>,
    /// The label of the token in it
    #[arg(
        long,
        value_name = "LABEL",
        env = "HEIRLOOM_HSM_TOKEN",
        hide_env_values = true
    )]
    pub(crate) hsm_token: Option<String>,
    /// A file with the token's PIN; also in place of the one that the configuration names
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_HSM_PIN_FILE",
        hide_env_values = true
    )]
    pub(crate) hsm_pin_file: Option<PathBuf>,
}

/// How the server's lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLines {
    /// Sentences
    Text,
    /// JSON objects
    Json,
}

const LOGIN_EXAMPLES: &str = "\
Examples:
  heirloom login http://localhost:8750 --account-file ./account.json
  heirloom login https://vault.example.org --invite-file ./invitation.txt --account-file ./account.json
  heirloom login https://vault.example.org --passkey --account-file ./account.json
  heirloom login https://vault.example.org --passkey --via qr --account-file ./account.json
  heirloom login https://vault.example.org --from-kit --account-file ./account.json

The account file signs you in to the server: it opens what is stored there, never a backup. Keep a copy beside your
recovery key: with both, a new computer can restore. On a server that was just started on this computer, the first to
sign in owns it; else an invitation is needed.";

/// Signs this computer in to a server.
#[derive(Debug, Args)]
#[command(after_help = LOGIN_EXAMPLES)]
pub(crate) struct Login {
    /// The server: an https address, or localhost with http
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The invitation, good once; others who use this computer can see it: better `--invite-file`
    #[arg(long, value_name = "CODE", group = "entry", allow_hyphen_values = true)]
    pub(crate) invite: Option<String>,
    /// A file with the invitation; `-` is standard input. No other user of this computer sees it there
    #[arg(long, value_name = "FILE", group = "entry")]
    pub(crate) invite_file: Option<PathBuf>,
    /// Sign in with a passkey, on the server's page in a browser; `heirloom devices URL --new-passkey` saves one
    #[arg(long, group = "entry")]
    pub(crate) passkey: bool,
    /// Where that page is opened; else as fits this computer
    #[arg(long, value_name = "WAY", requires = "passkey")]
    pub(crate) via: Option<SignInVia>,
    /// Ask a computer that is signed in: both show six words, which you compare
    #[arg(long, group = "entry")]
    pub(crate) approve: bool,
    /// Type the sign-in that stands in a recovery kit
    #[arg(long, group = "entry")]
    pub(crate) from_kit: bool,
    /// A file with that sign-in; `-` is standard input
    #[arg(long, value_name = "FILE", group = "entry")]
    pub(crate) kit_file: Option<PathBuf>,
    /// A file with the token by which a messenger vouches for you
    #[arg(long, value_name = "FILE", group = "entry", requires = "tenant")]
    pub(crate) token_file: Option<PathBuf>,
    /// Whose users sign in there, where the server has several
    #[arg(long, value_name = "NAME", conflicts_with_all = ["invite", "invite_file"])]
    pub(crate) tenant: Option<String>,
    /// What this computer is called in the list of devices
    #[arg(
        long,
        value_name = "NAME",
        env = "HEIRLOOM_DEVICE_NAME",
        hide_env_values = true
    )]
    pub(crate) device_name: Option<String>,
    #[command(flatten)]
    pub(crate) browser: Browser,
}

/// Where a passkey that signs in is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignInVia {
    /// In a browser on this computer
    Browser,
    /// On a phone or another device that scans a QR code
    Qr,
}

const APPROVE_EXAMPLES: &str = "\
Examples:
  heirloom login https://vault.example.org --approve --account-file ./account.json   (on the new computer)
  heirloom approve https://vault.example.org --code BCDF-GHJK                        (on one that is signed in)
  heirloom approve https://vault.example.org --code BCDF-GHJK --open-backup

Both then show the same six words. If they differ, somebody is in between: say no. Where nobody can be asked, each reads
the words that the other one shows from its standard input. With `--open-backup`, or when you say so, the new computer
can read and add to the backup at URL from then on, without a key or password, until `heirloom protect remove` takes
that away. You unlock the backup here for it.";

/// Lets a new computer into the account.
#[derive(Debug, Args)]
#[command(after_help = APPROVE_EXAMPLES)]
pub(crate) struct Approve {
    /// The server, with the place of the backup where it has one
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// What the new computer shows; it selects it, and is no secret
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Let it open the backup at URL, too: it keeps a way in of its own
    #[arg(long, conflicts_with = "sign_in_only")]
    pub(crate) open_backup: bool,
    /// Let it sign in and nothing else, without asking
    #[arg(long)]
    pub(crate) sign_in_only: bool,
    #[command(flatten)]
    pub(crate) unlock: super::shared::Unlock,
}

const LOGOUT_EXAMPLES: &str = "\
Example:
  heirloom logout https://vault.example.org

The sign-in ends on the server, and this computer forgets it; an account file that is named goes, too. Backups stay
where they are.";

/// Signs this computer out of a server.
#[derive(Debug, Args)]
#[command(after_help = LOGOUT_EXAMPLES)]
pub(crate) struct Logout {
    /// The server
    #[arg(value_name = "URL")]
    pub(crate) url: String,
}

const DEVICES_EXAMPLES: &str = "\
Examples:
  heirloom devices https://vault.example.org
  heirloom devices https://vault.example.org --remove ID
  heirloom devices https://vault.example.org --new-passkey

What is removed is signed out at once. It keeps what it knows of backups: to take that away, `heirloom protect remove`
and `heirloom protect rotate`.";

/// Lists who is signed in, and ends it.
#[derive(Debug, Args)]
#[command(after_help = DEVICES_EXAMPLES)]
pub(crate) struct Devices {
    /// The server
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Sign this device out, or have this passkey sign in no more
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) remove: Option<String>,
    /// Save a passkey that signs new devices in. It opens no backup
    #[arg(long, conflicts_with = "remove")]
    pub(crate) new_passkey: bool,
    /// What the passkey is called
    #[arg(long, value_name = "NAME", requires = "new_passkey")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) browser: Browser,
}

const INVITE_EXAMPLES: &str = "\
Example:
  heirloom invite https://vault.example.org

The other computer then runs `heirloom login URL --invite-file FILE --account-file FILE`. It gets into the same account, and
opens no backup by that.";

/// Lets another computer into the account.
#[derive(Debug, Args)]
#[command(after_help = INVITE_EXAMPLES)]
pub(crate) struct Invite {
    /// The server
    #[arg(value_name = "URL")]
    pub(crate) url: String,
}
