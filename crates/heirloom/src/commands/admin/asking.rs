//! Questions to the server that runs on a data folder.

use std::path::{Path, PathBuf};

use heirloom_vault::{Answer, Ask};
use heirloom_vault_api::{AccountId, Fixed, Invite};

use crate::exit::Exit;
use crate::failure::Failure;

/// A server's folder.
pub(super) struct Asking {
    data: PathBuf,
}

impl Asking {
    pub(super) fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
        }
    }

    /// Asks; what the server could not do is a failure.
    pub(super) fn ask(&self, ask: &Ask) -> Result<Answer, Failure> {
        match self.send(ask)? {
            Answer::Failed { why } => {
                let mut failure = Failure::new(Exit::Failed, "the server did not do it");
                failure.causes.push(why);
                Err(failure)
            }
            Answer::NoAccount => Err(Failure::new(Exit::Failed, "there is no such account")
                .hint("`heirloom admin users list` shows all of them")),
            answer => Ok(answer),
        }
    }

    /// Asks for something that is done or was so already; says which.
    pub(super) fn change(&self, ask: &Ask) -> Result<bool, Failure> {
        match self.ask(ask)? {
            Answer::Done { changed } => Ok(changed),
            _ => Err(strange()),
        }
    }

    /// Asks for an invitation.
    pub(super) fn invite(&self, ask: &Ask) -> Result<Invite, Failure> {
        match self.ask(ask)? {
            Answer::Invited { invite } => Ok(invite),
            _ => Err(strange()),
        }
    }

    #[cfg(unix)]
    fn send(&self, ask: &Ask) -> Result<Answer, Failure> {
        use std::io::{BufRead as _, BufReader, Read as _, Write as _};
        use std::os::unix::net::UnixStream;
        use std::time::Duration;

        /// An answer is a page; pages are far shorter.
        const MOST_BYTES: u64 = 16 << 20;
        /// Walking all logs takes its time.
        const PATIENCE: Duration = Duration::from_hours(1);

        let path = self.data.join("admin.sock");
        let mut stream = UnixStream::connect(&path).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("no server of yours runs on {}", self.data.display()),
            )
            .because(&error)
            .hint("name its folder: `--data DIR`; if it does not run: `heirloom serve --data DIR`")
        })?;
        let lost = |error: std::io::Error| {
            Failure::new(Exit::Failed, "the server did not answer").because(&error)
        };
        stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        let mut line = serde_json::to_vec(ask).map_err(|_| strange())?;
        line.push(b'\n');
        stream.write_all(&line).map_err(lost)?;
        let mut answer = Vec::new();
        BufReader::new(stream.take(MOST_BYTES))
            .read_until(b'\n', &mut answer)
            .map_err(lost)?;
        serde_json::from_slice(&answer).map_err(|_| strange())
    }

    #[cfg(not(unix))]
    fn send(&self, _ask: &Ask) -> Result<Answer, Failure> {
        Err(Failure::new(
            Exit::Failed,
            format!("{}: this system has no socket for it", self.data.display()),
        ))
    }
}

/// The server is another version than this program.
pub(super) fn strange() -> Failure {
    Failure::new(
        Exit::Failed,
        "the server's answer is not what this program expects",
    )
    .hint("use the program that the server was started with")
}

/// An account as it was written on the command line.
pub(super) fn account(text: &str) -> Result<AccountId, Failure> {
    Fixed::parse(text).map_err(|_| {
        Failure::usage("this is no account's id")
            .hint("it has 22 characters; `heirloom admin users list` shows all of them")
    })
}
