//! Recovery keys on their way in and out: from a file or the terminal, to a new file or the screen once.

use std::path::{Path, PathBuf};

use heirloom_keys::{
    LockedKeyring, OpenError, RECOVERY_KEY_DIGITS, RecoveryEntry, RecoveryKey, UnlockSecret,
    Unlocked,
};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::args::shared::Unlock;
use crate::atomic;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::secrets;

/// How a key file begins.
const HEADER: &str = "# Heirloom recovery key for ";

/// A key that was read, and whether one group had to be mended.
#[derive(Debug)]
pub(crate) struct EnteredKey {
    key: RecoveryKey,
    secret: UnlockSecret,
    /// The group that differs from what was entered, counted from 1. Said only once the key has opened a slot.
    pub(crate) mended: Option<u8>,
}

impl EnteredKey {
    /// A key that was just made, or read without a fault.
    pub(crate) fn new(key: RecoveryKey) -> Self {
        Self {
            secret: UnlockSecret::recovery_key(&key),
            key,
            mended: None,
        }
    }

    /// Unlocks a keyring.
    pub(crate) fn open(&self, locked: &LockedKeyring) -> Result<Unlocked, Failure> {
        locked.unlock(&self.secret).map_err(|error| match error {
            // A key that was mended and opens nothing was not one group off.
            OpenError::WrongRecoveryKey if self.mended.is_some() => too_many_wrong(),
            other => other.into(),
        })
    }

    /// The 16 groups, to be shown to their owner on purpose.
    pub(crate) fn groups(&self) -> Zeroizing<String> {
        Zeroizing::new(self.key.expose_groups().expose_secret().to_owned())
    }

    /// The key itself, for a new way in.
    pub(crate) fn key(&self) -> &RecoveryKey {
        &self.key
    }
}

/// The key file that flag, environment or settings name.
pub(crate) fn file(unlock: &Unlock, context: &Context) -> Option<PathBuf> {
    unlock
        .recovery_key_file
        .clone()
        .or_else(|| context.settings.recovery_key_file.clone())
}

/// Reads the recovery key from its file, or asks for it where somebody can be asked.
pub(crate) fn enter(unlock: &Unlock, context: &Context) -> Result<EnteredKey, Failure> {
    match file(unlock, context) {
        Some(path) => from_file(&path),
        None if context.output.can_ask() => ask(context),
        None => Err(Failure::new(
            Exit::NeedsUnlock,
            "this needs the recovery key, and nobody can be asked for it here",
        )
        .hint("add `--recovery-key-file FILE`")),
    }
}

/// Reads a key file.
pub(crate) fn from_file(path: &Path) -> Result<EnteredKey, Failure> {
    let text = secrets::read_text(path)?;
    // Lines that begin with `#` are for people.
    let mut digits = Zeroizing::new(String::with_capacity(text.len()));
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        digits.push_str(line);
        digits.push(' ');
    }
    understand(
        &digits,
        &format!("{} does not hold a recovery key", path.display()),
    )
}

fn understand(text: &str, not_a_key: &str) -> Result<EnteredKey, Failure> {
    let bad = |why: String| {
        Failure::new(Exit::WrongKey, not_a_key).hint(format!(
            "{why}; a recovery key has {RECOVERY_KEY_DIGITS} digits in 16 groups: 0-9 and a-f"
        ))
    };
    match RecoveryKey::parse(text) {
        RecoveryEntry::Exact(key) => Ok(EnteredKey::new(key)),
        RecoveryEntry::MendedCandidate { group, key } => Ok(EnteredKey {
            mended: Some(group),
            ..EnteredKey::new(key)
        }),
        RecoveryEntry::TooManyWrong => Err(too_many_wrong()),
        RecoveryEntry::BadLength { digits } => Err(bad(format!("it has {digits} digits"))),
        RecoveryEntry::BadCharacter { after_digits } => Err(bad(format!(
            "something in group {} is no digit",
            after_digits / 4 + 1
        ))),
        _ => Err(bad("it cannot be read".into())),
    }
}

/// At least two groups are wrong: nothing can be mended.
pub(crate) fn too_many_wrong() -> Failure {
    Failure::new(
        Exit::WrongKey,
        "at least two groups of the recovery key are wrong",
    )
    .hint("compare it with your kit group by group; one wrong group would have been mended")
}

/// Asks for the key, a few groups at a time, and says after each line what was understood.
fn ask(context: &Context) -> Result<EnteredKey, Failure> {
    context.output.show("The recovery key has 16 groups of four digits. Type them all, or a few groups a line; they are not shown.");
    let mut text = Zeroizing::new(String::with_capacity(1024));
    let mut have = 0;
    while have < RECOVERY_KEY_DIGITS {
        let line = secrets::ask_hidden(&format!("Recovery key, from group {}: ", have / 4 + 1))?;
        let wrong = line
            .chars()
            .position(|c| !(c.is_ascii_hexdigit() || c.is_whitespace() || "-oOiIlL|".contains(c)));
        let digits = line
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .count();
        if digits == 0 {
            return Err(Failure::new(
                Exit::NeedsUnlock,
                "no recovery key was entered",
            ));
        }
        if let Some(at) = wrong {
            context.output.show(&format!(
                "  character {} of this line is no digit; type the line again",
                at + 1
            ));
            continue;
        }
        if digits % 4 != 0 || have + digits > RECOVERY_KEY_DIGITS {
            context.output.show(&format!(
                "  this line has {digits} digits, which are no whole groups; type the line again"
            ));
            continue;
        }
        have += digits;
        text.push_str(&line);
        text.push(' ');
        context
            .output
            .show(&format!("  groups 1 to {} of 16 are there", have / 4));
    }
    understand(&text, "this is not a recovery key")
}

/// Writes a new key into a new file of mode 0600, durable when this returns.
pub(crate) fn write_file(key: &RecoveryKey, path: &Path, what: &str) -> Result<(), Failure> {
    let groups = key.expose_groups();
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(HEADER);
    text.push_str(&what.replace(['\n', '\r'], " "));
    text.push_str("\n# Whoever has it can read the backup. Nobody will ever ask you for it.\n");
    text.push_str(groups.expose_secret());
    text.push('\n');
    atomic::create_private(path, text.as_bytes()).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            exists_already(path)
        } else {
            Failure::file("write", path, &error)
        }
    })
}

/// A key file is never replaced.
pub(crate) fn exists_already(path: &Path) -> Failure {
    let mut failure = Failure::usage(format!("cannot write {}", path.display()))
        .hint("a key file is never replaced: name another file, or move that one away");
    failure.causes.push("it exists already".into());
    failure
}

/// Whether a file is the beginning of a key file, and no more.
pub(crate) fn is_cut_off(path: &Path) -> bool {
    let Ok(text) = secrets::read_text(path) else {
        return false;
    };
    let digits = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::chars);
    let digits = digits.filter(char::is_ascii_hexdigit).count();
    digits < RECOVERY_KEY_DIGITS
        && (text.is_empty() || HEADER.starts_with(text.as_str()) || text.starts_with(HEADER))
}

/// Shows a new key once and has two of its groups typed again.
pub(crate) fn show_once(
    key: &RecoveryKey,
    context: &Context,
    pick: [u8; 2],
) -> Result<(), Failure> {
    let output = &context.output;
    let exposed = key.expose_groups();
    let groups: Vec<&str> = exposed.expose_secret().split(' ').collect();
    output.show("This is your new recovery key. It is shown once and stored nowhere:\n");
    for line in groups.chunks(4) {
        let line = Zeroizing::new(line.join("  "));
        output.show(&Zeroizing::new(format!("    {}", line.as_str())));
    }
    output.show("\nWrite it down and keep it where you keep your passport. Whoever has it can read the backup.");
    output.show(crate::kit::NOBODY_ASKS);
    let first = usize::from(pick[0]) % groups.len();
    let second = (first + 1 + usize::from(pick[1]) % (groups.len() - 1)) % groups.len();
    for at in [first.min(second), first.max(second)] {
        confirm_group(context, at, groups[at])?;
    }
    Ok(())
}

fn confirm_group(context: &Context, at: usize, group: &str) -> Result<(), Failure> {
    for _ in 0..3 {
        let typed = secrets::ask_hidden(&format!(
            "To be sure that you have it: type group {}: ",
            at + 1
        ))?;
        if typed.trim().eq_ignore_ascii_case(group) {
            return Ok(());
        }
        context.output.show("  that is not it; look again");
    }
    Err(Failure::new(
        Exit::NeedsUnlock,
        "the recovery key was not confirmed, and nothing was stored",
    )
    .hint("run it again: it makes another key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::UnwrapErr;

    fn key() -> RecoveryKey {
        RecoveryKey::generate(&mut UnwrapErr(getrandom::SysRng))
    }

    #[test]
    fn a_key_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.txt");
        let key = key();
        write_file(&key, &path, "./my-backup").unwrap();
        let entered = from_file(&path).unwrap();
        assert_eq!(entered.mended, None);
        assert_eq!(
            entered.key.expose_groups().expose_secret(),
            key.expose_groups().expose_secret()
        );
    }

    #[test]
    fn a_key_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.txt");
        write_file(&key(), &path, "a").unwrap();
        let failure = write_file(&key(), &path, "b").unwrap_err();
        assert!(
            failure.message.starts_with("cannot write "),
            "{}",
            failure.message
        );
        assert_eq!(failure.causes, ["it exists already"]);
    }

    #[test]
    fn one_wrong_group_is_mended_and_two_are_refused() {
        let exposed = key().expose_groups();
        let mut groups: Vec<String> = exposed
            .expose_secret()
            .split(' ')
            .map(str::to_owned)
            .collect();
        let flip = |group: &str| {
            if group.starts_with('0') {
                group.replacen('0', "1", 1)
            } else {
                format!("0{}", &group[1..])
            }
        };
        groups[4] = flip(&groups[4]);
        assert_eq!(understand(&groups.join(" "), "").unwrap().mended, Some(5));
        groups[9] = flip(&groups[9]);
        assert_eq!(
            understand(&groups.join(" "), "").unwrap_err().message,
            too_many_wrong().message
        );
    }

    #[test]
    fn what_is_no_key_is_named() {
        assert!(
            understand("12 34", "x")
                .unwrap_err()
                .hint
                .unwrap()
                .starts_with("it has 4 digits")
        );
        assert!(
            understand(&"zz".repeat(32), "x")
                .unwrap_err()
                .hint
                .unwrap()
                .starts_with("something in group 1")
        );
    }
}
