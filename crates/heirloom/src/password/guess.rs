//! One guess: spent before it is answered, never repeated by itself, and what is left told in words.

use std::path::Path;

use heirloom_keys::{HighEntropySecret, UnlockSecret};
use heirloom_vault_api::{
    Code, Confirmed, Evaluated, ExportKey, Login, LoginError, Password, Proved, RecordStatus,
    StatusRead, VaultInfo, Which,
};

use super::{Guarded, file_or_ask};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::server::{Account, Address, CallError, Client};
use crate::{keys, secrets, words};

/// Opens `versions`, the slots of one password, oldest first, by what a person types or a file holds. Gives what may open
/// one of them, the likeliest first: while a password is changed only its server knows which of the two was proven.
///
/// Nothing is sent to a server that was not confirmed: a store could name its own.
pub(crate) fn open(
    versions: &[Guarded],
    place: &str,
    file: Option<&Path>,
    context: &Context,
) -> Result<Vec<UnlockSecret>, Failure> {
    let newest = versions
        .last()
        .ok_or_else(|| Failure::new(Exit::NeedsUnlock, "no password opens this backup"))?;
    let account = confirm_server(newest, place, context)?;
    let client = Client::new(
        &newest.address,
        account.as_ref().map(|account| &account.token),
    );
    let status = account
        .is_some()
        .then(|| status(&client, newest).ok())
        .flatten();
    if let Some(status) = &status {
        refuse_locked(status)?;
    }
    // A version that was never put in force opens all the same, for its owner.
    let which = match &status {
        Some(status) if status.version.is_none() && status.pending == Some(newest.version) => {
            Which::Pending
        }
        _ => Which::Active,
    };
    let password = file_or_ask(file, context)?;
    context
        .output
        .say(&format!("Asking {}…", newest.address.origin));
    let (export_key, confirmed) = guess(&client, newest, which, &password)?;
    drop(password);
    if let Some(confirmed) = &confirmed
        && confirmed.failed > 0
    {
        let count = words::count(
            confirmed.failed.into(),
            "wrong password was",
            "wrong passwords were",
        );
        context.output.warn(&format!("{count} tried since this one was last used; if that was not you, somebody else has your backup's files: change the password"));
    }
    // The answer to the proof may be lost, and nobody but a signed-in owner is told how it stands.
    let in_force = status.and_then(|status| match which {
        Which::Pending => status.pending,
        Which::Active => status.version,
    });
    let version = confirmed.map(|confirmed| confirmed.version).or(in_force);
    likeliest_first(versions, version)
        .into_iter()
        .map(|guarded| secret(guarded, &export_key))
        .collect()
}

/// The version that was proven, where that is known, then the newest.
fn likeliest_first(versions: &[Guarded], proven: Option<u32>) -> Vec<&Guarded> {
    let mut all: Vec<_> = versions.iter().rev().collect();
    all.sort_by_key(|guarded| Some(guarded.version) != proven);
    all
}

/// Proves a version that is not in force yet, for its owner who has just registered it.
pub(crate) fn guess_pending(
    client: &Client,
    guarded: &Guarded,
    password: &Password,
) -> Result<ExportKey, Failure> {
    let (export_key, confirmed) = guess(client, guarded, Which::Pending, password)?;
    match confirmed {
        Some(confirmed) if confirmed.version == guarded.version => Ok(export_key),
        _ => Err(Failure::new(
            Exit::Failed,
            format!("{} did not confirm the new password", client.origin()),
        )
        .hint("nothing was changed; run this again")),
    }
}

/// Makes sure that a person knows the server before anything is sent there. Returns the sign-in to it, if there is one.
fn confirm_server(
    guarded: &Guarded,
    place: &str,
    context: &Context,
) -> Result<Option<Account>, Failure> {
    let origin = &guarded.address.origin;
    let account = Account::find(&guarded.address, context)?;
    if let Some(account) = &account
        && account.identity != guarded.pinned.identity.to_bytes()
    {
        return Err(another_server(origin));
    }
    let is_the_stores_own = Address::parse(place).is_ok_and(|address| address.origin == *origin);
    if account.is_some() || is_the_stores_own {
        return Ok(account);
    }
    if context.output.can_ask() {
        context.output.show(&format!(
            "The backup says that its password is checked by {}",
            words::tame(origin)
        ));
        if secrets::ask_yes("Is that the server that you chose")? {
            return Ok(None);
        }
        return Err(Failure::new(Exit::NeedsUnlock, "nothing was sent"));
    }
    Err(Failure::new(
        Exit::NeedsUnlock,
        format!("the backup says that its password is checked by {origin}, and nobody is here to confirm that"),
    )
    .hint("sign in to that server first, if you know it: `--account-file FILE`"))
}

/// The failure of a server that is not the one that was pinned.
pub(super) fn another_server(origin: &str) -> Failure {
    Failure::new(
        Exit::Damage,
        format!("{origin} is not the server that the password was set up with"),
    )
    .hint("the password was not sent; ask who runs the server whether it was set up anew, and use another way in until you know")
}

/// How a record stands, for its signed-in owner.
pub(super) fn status(client: &Client, guarded: &Guarded) -> Result<RecordStatus, CallError> {
    client.post_again(
        "/v1/records/status",
        &StatusRead {
            record: guarded.pinned.record,
        },
    )
}

/// Spends no guess where none would be answered.
fn refuse_locked(status: &RecordStatus) -> Result<(), Failure> {
    if status.destroyed {
        return Err(destroyed());
    }
    if status.wait_s > 0 {
        return Err(locked(Some(status.wait_s), Some(status.left)));
    }
    Ok(())
}

fn destroyed() -> Failure {
    Failure::new(
        Exit::NeedsUnlock,
        "too many wrong passwords: this password is gone for good",
    )
    .hint("use another way")
}

fn locked(seconds: Option<u64>, left: Option<u32>) -> Failure {
    let wait = seconds.map_or_else(
        || "for now".to_owned(),
        |seconds| format!("for {}", words::duration(seconds)),
    );
    let mut message = format!("the password is locked {wait}: too many wrong ones were tried");
    if let Some(left) = left {
        let left = words::count(left.into(), "guess is", "guesses are");
        message = format!("{message}; {left} left then");
    }
    Failure::new(Exit::NeedsUnlock, message).hint("wait, or use another way")
}

/// "8 guesses left".
fn left(guesses: u32) -> String {
    format!("{} left", words::count(guesses.into(), "guess", "guesses"))
}

/// What opens the slot of `guarded`.
pub(super) fn secret(guarded: &Guarded, export_key: &ExportKey) -> Result<UnlockSecret, Failure> {
    let secret = entropy(export_key)?;
    Ok(UnlockSecret::password(guarded.slot.clone(), secret))
}

/// The export key as what a slot is made from.
pub(super) fn entropy(export_key: &ExportKey) -> Result<HighEntropySecret, Failure> {
    let broken = || Failure::new(Exit::Failed, "the password gave no key");
    let key = heirloom_keys::ExportKey::new(export_key.exposed().to_vec()).ok_or_else(broken)?;
    HighEntropySecret::try_from(key).map_err(|_| broken())
}

/// Spends one guess. `Confirmed` is missing when the server could not be told that it was right.
fn guess(
    client: &Client,
    guarded: &Guarded,
    which: Which,
    password: &Password,
) -> Result<(ExportKey, Option<Confirmed>), Failure> {
    let origin = client.origin();
    let mut rng = keys::rng();
    let info: VaultInfo = client
        .get("/v1/vault")
        .map_err(|error| error.failure(origin))?;
    // Found out before a guess is spent, and before anything that comes from the password is sent.
    if info.identity != guarded.pinned.identity.to_bytes() {
        return Err(another_server(origin));
    }
    let (login, start) = Login::start(password, guarded.pinned, which, &mut rng)
        .map_err(|error| local(error, origin))?;
    let evaluated: Evaluated = client
        .post_once("/v1/guesses", &start)
        .map_err(|error| refused(error, origin))?;
    let opened = match login.finish(password, &evaluated, &mut rng) {
        Ok(opened) => opened,
        Err(LoginError::WrongPassword) => return Err(wrong(client, guarded)),
        Err(error) => return Err(local(error, origin)),
    };
    // The proof changes nothing twice: a second one is refused.
    let proved: Option<Proved> = client.post_again("/v1/proofs", &opened.proof).ok();
    let confirmed = proved
        .map(|proved| {
            opened
                .confirm(&proved)
                .map_err(|error| local(error, origin))
        })
        .transpose()?;
    Ok((opened.export_key, confirmed))
}

/// A wrong password, with what is left where the server tells it.
fn wrong(client: &Client, guarded: &Guarded) -> Failure {
    let Ok(status) = status(client, guarded) else {
        return Failure::new(Exit::WrongKey, "wrong password").hint(
            "after a few more wrong ones it is locked: try again with care, or use another way",
        );
    };
    if status.destroyed {
        let mut failure = destroyed();
        failure.exit = Exit::WrongKey;
        return failure;
    }
    let mut message = format!("wrong password, {}", left(status.left));
    if status.wait_s > 0 {
        message = format!(
            "{message}; the next one in {}",
            words::duration(status.wait_s)
        );
    }
    Failure::new(Exit::WrongKey, message).hint("try again with care, or use another way")
}

fn refused(error: CallError, origin: &str) -> Failure {
    match &error {
        CallError::Refused(problem) => match problem.code {
            Code::Wait => locked(problem.retry_after_s, None),
            Code::LockedOut => Failure::new(
                Exit::NeedsUnlock,
                "the password is locked for whoever is not signed in: too many wrong ones were tried",
            )
            .hint(format!(
                "sign in to {origin} with the account file (`--account-file FILE`), or use another way"
            )),
            Code::Destroyed => destroyed(),
            Code::OutcomeUnknown => Failure::new(
                Exit::Failed,
                format!("{origin} does not know whether it counted the guess, and so did not answer it"),
            )
            .hint("try again; the guess may be gone"),
            _ => error.failure(origin),
        },
        CallError::NoAnswer { .. } => {
            let mut failure = error.failure(origin);
            failure.hint = Some("check the connection and run this again; the guess may be counted".into());
            failure
        }
        CallError::NotSafe { .. } | CallError::BadAnswer { .. } => error.failure(origin),
    }
}

fn local(error: LoginError, origin: &str) -> Failure {
    match error {
        LoginError::NotThisVault => another_server(origin),
        LoginError::UnsupportedSuite => {
            Failure::new(Exit::Failed, error.to_string()).hint("update Heirloom on this computer")
        }
        _ => Failure::new(Exit::Failed, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heirloom_vault_api::Problem;

    fn record(left: u32, wait_s: u64, destroyed: bool) -> RecordStatus {
        RecordStatus {
            version: Some(1),
            pending: None,
            destroyed,
            guesses: 0,
            left,
            left_for_strangers: 0,
            wait_s,
            lifetime_left: 90,
            log_length: 0,
            log_hash: heirloom_vault_api::Fixed([0; 32]),
        }
    }

    #[test]
    fn a_locked_password_is_said_with_the_time_to_wait_and_what_is_left() {
        let failure = refuse_locked(&record(5, 600, false)).unwrap_err();
        assert_eq!(failure.exit, Exit::NeedsUnlock);
        assert_eq!(
            failure.message,
            "the password is locked for 10 min: too many wrong ones were tried; 5 guesses are left then"
        );
        assert!(refuse_locked(&record(5, 0, false)).is_ok());
    }

    #[test]
    fn a_destroyed_password_is_gone_and_another_way_is_named() {
        let failure = refuse_locked(&record(0, 0, true)).unwrap_err();
        assert_eq!(
            failure.message,
            "too many wrong passwords: this password is gone for good"
        );
        assert_eq!(failure.hint.as_deref(), Some("use another way"));
    }

    #[test]
    fn each_refusal_of_a_guess_has_its_words_and_exit_code() {
        let refusal = |code| {
            let problem = Problem::from(code).retry_after(60);
            refused(CallError::Refused(Box::new(problem)), "https://a.example")
        };
        assert_eq!(
            refusal(Code::Wait).message,
            "the password is locked for 60 s: too many wrong ones were tried"
        );
        assert_eq!(refusal(Code::LockedOut).exit, Exit::NeedsUnlock);
        assert_eq!(refusal(Code::Destroyed).exit, Exit::NeedsUnlock);
        assert_eq!(refusal(Code::OutcomeUnknown).exit, Exit::Failed);
        let silent = CallError::NoAnswer { why: "x".into() };
        assert!(
            refused(silent, "https://a.example")
                .hint
                .unwrap()
                .ends_with("the guess may be counted")
        );
    }
}
