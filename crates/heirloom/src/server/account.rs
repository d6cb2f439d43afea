//! The account file: who this computer is to a server. It opens objects, never a backup.

use std::fmt;
use std::path::{Path, PathBuf};

use heirloom_vault_api::{AccountId, Fixed, SignedIn, Token};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Address;
use crate::atomic;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::secrets;

/// The version of the file.
const VERSION: u8 = 1;

/// A sign-in to one server.
pub(crate) struct Account {
    /// Where it is good; it is sent nowhere else.
    pub(crate) server: String,
    /// Whose.
    pub(crate) id: AccountId,
    /// What is sent.
    pub(crate) token: Token,
    /// The identity that the server had when this computer signed in.
    pub(crate) identity: Fixed<32>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, [REDACTED])", self.server)
    }
}

/// As it lies in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    heirloom_account: u8,
    server: String,
    account: AccountId,
    identity: Fixed<32>,
    token: Token,
}

impl Account {
    /// What a server gave.
    pub(crate) fn new(address: &Address, signed_in: SignedIn, identity: Fixed<32>) -> Self {
        let SignedIn { account, token } = signed_in;
        Self {
            server: address.origin.clone(),
            id: account,
            token,
            identity,
        }
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self {
            server,
            id,
            token,
            identity,
        } = self;
        let stored = Stored {
            heirloom_account: VERSION,
            server: server.clone(),
            account: *id,
            identity: *identity,
            token: token.duplicate(),
        };
        let mut bytes = Zeroizing::new(serde_json::to_vec_pretty(&stored).unwrap_or_default());
        bytes.push(b'\n');
        bytes
    }

    fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, Failure> {
        let not_one = || {
            Failure::usage(format!("{} is not an account file", path.display()))
                .hint("`heirloom login URL --account-file FILE` writes one")
        };
        let stored: Stored = serde_json::from_slice(bytes).map_err(|_| not_one())?;
        let Stored {
            heirloom_account,
            server,
            account,
            identity,
            token,
        } = stored;
        let address = Address::parse(&server)?;
        if heirloom_account != VERSION || address.origin != server {
            return Err(not_one());
        }
        Ok(Self {
            server,
            id: account,
            token,
            identity,
        })
    }

    /// Reads an account file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = secrets::read(path)?;
        Self::from_bytes(&bytes, path)
    }

    /// Writes a new account file, for its owner alone; never replaces one.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        atomic::create_private(path, &self.to_bytes())
            .map_err(|error| Failure::file("write", path, &error))
    }

    /// Has this computer remember it.
    pub(crate) fn remember(&self, context: &Context) -> Result<(), Failure> {
        let path = remembered(&self.server, context);
        let folder = path.parent().unwrap_or(&path);
        atomic::private_folder(folder).map_err(|error| Failure::file("make", folder, &error))?;
        atomic::replace_private(&path, &self.to_bytes())
            .map_err(|error| Failure::file("write", &path, &error))
    }

    /// The sign-in for a server: the file that was given when it is for this one, else what this computer remembers.
    pub(crate) fn find(address: &Address, context: &Context) -> Result<Option<Self>, Failure> {
        if let Some(path) = &context.account_file {
            let account = Self::read(path)?;
            if account.server == address.origin {
                return Ok(Some(account));
            }
        }
        let path = remembered(&address.origin, context);
        if !path.exists() {
            return Ok(None);
        }
        let account = Self::read(&path)?;
        Ok((account.server == address.origin).then_some(account))
    }

    /// The same; a person is told how to sign in where there is none.
    pub(crate) fn needed(address: &Address, context: &Context) -> Result<Self, Failure> {
        Self::find(address, context)?.ok_or_else(|| {
            let mut failure = Failure::new(
                Exit::NeedsUnlock,
                format!("this computer is not signed in to {}", address.origin),
            );
            if let Some(path) = &context.account_file
                && let Ok(account) = Self::read(path)
            {
                failure.causes.push(format!(
                    "{} is the account file for {}",
                    path.display(),
                    account.server
                ));
            }
            failure
            .hint(format!(
                "if you have the account file: `--account-file FILE`; else `heirloom login {} --account-file NEW-FILE`",
                address.origin
            ))
        })
    }
}

/// Forgets a sign-in that was ended: what is remembered and the file that was named, each only where it is that one.
pub(crate) fn forget(ended: &Account, context: &Context) -> Result<Vec<PathBuf>, Failure> {
    let mut gone = vec![remembered(&ended.server, context)];
    gone.extend(context.account_file.clone());
    gone.retain(|path| path.exists());
    let mut is_it = Vec::new();
    for path in gone {
        let account = Account::read(&path)?;
        if account.server == ended.server && account.token == ended.token {
            is_it.push(path);
        }
    }
    let gone = is_it;
    for path in &gone {
        std::fs::remove_file(path).map_err(|error| Failure::file("remove", path, &error))?;
    }
    Ok(gone)
}

/// Where the sign-in to a server is remembered. The name is a hash: an address is no file name.
pub(crate) fn remembered(origin: &str, context: &Context) -> PathBuf {
    let hash = hex::encode(Sha256::digest(origin.as_bytes()));
    context
        .home
        .state()
        .join("accounts")
        .join(format!("{}.json", &hash[..32]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            server: "http://localhost:8750".into(),
            id: Fixed([1; 16]),
            token: Token(Fixed([0xC5; 32])),
            identity: Fixed([2; 32]),
        }
    }

    #[test]
    fn an_account_file_is_written_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.json");
        account().write(&path).unwrap();
        let read = Account::read(&path).unwrap();
        assert_eq!(read.token, account().token);
        assert_eq!(read.identity, account().identity);
        assert_eq!(
            account().write(&path).unwrap_err().causes,
            ["it exists already"]
        );
    }

    #[cfg(unix)]
    #[test]
    fn an_account_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.json");
        account().write(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Account::read(&path).unwrap_err().exit, Exit::NeedsUnlock);
    }

    #[test]
    fn a_file_that_is_none_or_names_no_server_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.json");
        let good = String::from_utf8(account().to_bytes().to_vec()).unwrap();
        for bad in [
            String::new(),
            "{}".into(),
            good.replace("http://localhost:8750", "http://example.org"),
            good.replace("http://localhost:8750", "http://localhost:8750/a"),
            good.replace("\"heirloom_account\": 1", "\"heirloom_account\": 2"),
            good.replace("\"token\"", "\"tokens\""),
        ] {
            let _ = std::fs::remove_file(&path);
            atomic::create_private(&path, bad.as_bytes()).unwrap();
            assert_eq!(Account::read(&path).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }

    #[test]
    fn debug_output_holds_no_token() {
        assert_eq!(
            format!("{:?}", account()),
            "Account(http://localhost:8750, [REDACTED])"
        );
    }
}
