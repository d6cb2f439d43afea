//! Passwords on their way in: read or asked for, brought to one form, and refused when anybody would guess them.

use std::path::Path;

use heirloom_vault_api::Password;
use secrecy::SecretString;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::secrets;

/// Fewer characters are refused whatever they are.
const LEAST_CHARS: usize = 8;
/// Of zxcvbn's 0 to 4: 3 is "safely unguessable", more than 10^8 guesses.
const LEAST_SCORE: zxcvbn::Score = zxcvbn::Score::Three;
/// How often somebody may type a new password again.
const TRIES: usize = 5;

/// Reads the password from its file, or asks for it where somebody can be asked.
pub(crate) fn file_or_ask(file: Option<&Path>, context: &Context) -> Result<Password, Failure> {
    let text = match file {
        Some(path) => from_file(path)?,
        None if context.output.can_ask() => secrets::ask_hidden("Password: ")?,
        None => {
            return Err(Failure::new(
                Exit::NeedsUnlock,
                "this needs the password, and nobody can be asked for it here",
            )
            .hint("add `--password-file FILE`"));
        }
    };
    prepared(&text)
}

/// Takes a new password: from a file, or typed twice. One that is too easy is refused before it goes anywhere.
pub(crate) fn enter_new(file: Option<&Path>, context: &Context) -> Result<Password, Failure> {
    if let Some(path) = file {
        let text = from_file(path)?;
        refuse_easy(&text)?;
        return prepared(&text);
    }
    if !context.output.can_ask() {
        return Err(
            Failure::usage("a new password has to be chosen, and nobody is here to do it")
                .hint("add `--password-file FILE`"),
        );
    }
    for _ in 0..TRIES {
        let text = secrets::ask_hidden("New password: ")?;
        if let Err(failure) = refuse_easy(&text) {
            context.output.complain(&failure);
            continue;
        }
        if *secrets::ask_hidden("Once more: ")? == *text {
            return prepared(&text);
        }
        context.output.show("  the two are not the same");
    }
    Err(Failure::new(Exit::NeedsUnlock, "no password was chosen"))
}

/// Refuses to change a password to the one it is, where both are told by files. Standard input is read once only.
pub(crate) fn refuse_same(old: Option<&Path>, new: Option<&Path>) -> Result<(), Failure> {
    let (Some(old), Some(new)) = (old, new) else {
        return Ok(());
    };
    if [old, new].contains(&Path::new("-")) {
        return Ok(());
    }
    let form = |path: &Path| -> Result<Zeroizing<String>, Failure> {
        let text = from_file(path)?;
        Ok(Zeroizing::new(
            text.chars()
                .map(|c| if c.is_whitespace() { ' ' } else { c })
                .nfc()
                .collect(),
        ))
    };
    if *form(old)? == *form(new)? {
        return Err(Failure::usage("the new password is the old one")
            .hint("choose another one, or leave it as it is"));
    }
    Ok(())
}

/// A file's password is its text without the line's end.
fn from_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = secrets::read_text(path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains('\n') {
        return Err(Failure::usage(format!(
            "{} has more than one line; a password is one",
            path.display()
        )));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// The form in which a password is the same on every keyboard (RFC 8265, `OpaqueString`).
fn prepared(text: &str) -> Result<Password, Failure> {
    if text.chars().any(char::is_control) {
        return Err(Failure::usage(
            "the password holds a character that no keyboard types",
        ));
    }
    // Room for every composition from the start: a string that grew would leave pieces of itself behind.
    let mut form = Zeroizing::new(String::with_capacity(text.len().saturating_mul(4)));
    form.extend(
        text.chars()
            .map(|c| if c.is_whitespace() { ' ' } else { c })
            .nfc(),
    );
    let secret = SecretString::from(form.as_str());
    Password::new(secret).map_err(|error| Failure::usage(error.to_string()))
}

/// Refuses what others would try first. zxcvbn keeps pieces of it in memory that nobody wipes, for as long as this runs.
fn refuse_easy(text: &str) -> Result<(), Failure> {
    let advice = "three or four words that do not belong together are easy to keep in mind and hard to guess";
    if text.chars().count() < LEAST_CHARS {
        return Err(Failure::usage(format!(
            "the password is too short: it needs at least {LEAST_CHARS} characters"
        ))
        .hint(advice));
    }
    // It looks at the first hundred characters, and so do guessers.
    let estimate = zxcvbn::zxcvbn(text, &["heirloom", "backup", "whatsapp"]);
    if estimate.score() >= LEAST_SCORE {
        return Ok(());
    }
    let mut failure = Failure::usage("the password is too easy to guess");
    if let Some(feedback) = estimate.feedback()
        && let Some(warning) = feedback.warning()
    {
        let words = warning.to_string();
        failure
            .causes
            .push(lower_first(words.trim_end_matches('.')));
    }
    Err(failure.hint(advice))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_passwords_are_refused_in_words() {
        for easy in [
            "password1",
            "12345678901",
            "qwertyuiop",
            "iloveyou2",
            "heirloom1",
            "aaaaaaaaaaaa",
            "19841984",
        ] {
            let failure = refuse_easy(easy).expect_err(easy);
            assert_eq!(
                failure.message, "the password is too easy to guess",
                "{easy}"
            );
            assert_eq!(failure.exit, Exit::Usage);
            assert!(!format!("{failure:?}").contains(easy));
        }
        assert_eq!(
            refuse_easy("password1").unwrap_err().causes,
            ["this is a very common password"]
        );
        assert_eq!(
            refuse_easy("x7$Q").unwrap_err().message,
            "the password is too short: it needs at least 8 characters"
        );
    }

    #[test]
    fn words_that_do_not_belong_together_are_taken() {
        for good in [
            "teapot glacier violin",
            "gläserne Möwe spült leise",
            "v8#Kq2!mZp4x",
        ] {
            refuse_easy(good).unwrap();
        }
    }

    #[test]
    fn one_password_has_one_form_on_every_keyboard() {
        let form = |text: &str| format!("{:?}", prepared(text).is_ok());
        assert_eq!(form("e\u{301}tude"), form("étude"));
        for bad in ["tab\there", "bell\u{7}", ""] {
            assert!(prepared(bad).is_err());
        }
    }

    #[test]
    fn a_password_is_not_changed_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            crate::atomic::create_private(&path, text.as_bytes()).unwrap();
            path
        };
        let old = file("old", "e\u{301}tude\n");
        let same = file("same", "étude");
        let other = file("other", "etude");
        assert_eq!(
            refuse_same(Some(&old), Some(&same)).unwrap_err().message,
            "the new password is the old one"
        );
        refuse_same(Some(&old), Some(&other)).unwrap();
        refuse_same(None, Some(&other)).unwrap();
        refuse_same(Some(Path::new("-")), Some(&other)).unwrap();
    }

    #[test]
    fn a_file_holds_one_line() {
        let folder = tempfile::tempdir().unwrap();
        for (text, wanted) in [
            ("teapot\n", Some("teapot")),
            ("teapot\r\n", Some("teapot")),
            (" teapot ", Some(" teapot ")),
            ("tea\npot\n", None),
        ] {
            let path = folder.path().join("password");
            let _ = std::fs::remove_file(&path);
            crate::atomic::create_private(&path, text.as_bytes()).unwrap();
            let read = from_file(&path).ok();
            assert_eq!(read.as_ref().map(|text| text.as_str()), wanted, "{text:?}");
        }
    }
}
