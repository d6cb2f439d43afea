//! `login` and `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

const SERVE_EXAMPLES: &str = "\
Examples:
  heirloom serve
  heirloom serve --listen 127.0.0.1:9000 --data /srv/heirloom

It needs no configuration: a database and a folder of objects are made under --data. It ends with Ctrl-C or SIGTERM, when
what was asked is answered. For other computers, put it behind a web server that speaks https: docs/hosting.md";

/// Runs a server: it keeps backups that it cannot read, and counts wrong passwords.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct Serve {
    /// Where it answers; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8750",
        env = "HEIRLOOM_LISTEN",
        hide_env_values = true
    )]
    pub(crate) listen: SocketAddr,
    /// The folder of its database, keys and objects; else `server` where Heirloom keeps its state
    #[arg(
        long,
        value_name = "DIR",
        env = "HEIRLOOM_DATA",
        hide_env_values = true
    )]
    pub(crate) data: Option<PathBuf>,
    /// A file that says on which S3-compatible storage objects lie, and how to get in; else they lie in the folder
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_OBJECTS_S3_FILE",
        hide_env_values = true
    )]
    pub(crate) objects_s3_file: Option<PathBuf>,
}

const LOGIN_EXAMPLES: &str = "\
Examples:
  heirloom login http://localhost:8750 --account-file ./account.json
  heirloom login https://vault.example.org --invite CODE --account-file ./account.json

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
    /// The invitation, good once
    #[arg(long, value_name = "CODE")]
    pub(crate) invite: Option<String>,
}

const INVITE_EXAMPLES: &str = "\
Example:
  heirloom invite https://vault.example.org

The other computer then runs `heirloom login URL --invite CODE --account-file FILE`. It gets into the same account, and
opens no backup by that.";

/// Lets another computer into the account.
#[derive(Debug, Args)]
#[command(after_help = INVITE_EXAMPLES)]
pub(crate) struct Invite {
    /// The server
    #[arg(value_name = "URL")]
    pub(crate) url: String,
}
