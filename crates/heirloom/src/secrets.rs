//! Secrets that come from files: refused when others could read them, wiped when they were used.

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::Failure;

/// Lets files through that others can read, for systems that cannot do better.
pub(crate) const ALLOW_READABLE: &str = "HEIRLOOM_ALLOW_WORLD_READABLE_SECRETS";

/// No secret file is longer.
const MAX_BYTES: u64 = 64 * 1024;

/// Reads a secret file, or standard input for `-`.
///
/// The buffer has its full size from the start: a buffer that grew would leave pieces of the secret behind.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let size = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
    } else {
        let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
        refuse_readable(path, &file)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    if bytes.len() > size {
        return Err(Failure::usage(format!(
            "{} is too large for a key file",
            path.display()
        )));
    }
    Ok(bytes)
}

/// Reads a secret file that holds text.
pub(crate) fn read_text(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut bytes = read(path)?;
    String::from_utf8(std::mem::take(&mut *bytes))
        .map(Zeroizing::new)
        .map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            Failure::usage(format!("{} is not a text file", path.display()))
        })
}

#[cfg(unix)]
fn refuse_readable(path: &Path, file: &File) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file
        .metadata()
        .map_err(|error| Failure::file("read", path, &error))?;
    let others = metadata.mode() & 0o077;
    if !metadata.is_file()
        || others == 0
        || std::env::var_os(ALLOW_READABLE).is_some_and(|value| value == "1")
    {
        return Ok(());
    }
    Err(Failure::new(
        Exit::NeedsUnlock,
        format!(
            "{} can be read by other users of this computer",
            path.display()
        ),
    )
    .hint(format!(
        "run `chmod 600 {}`, or set {ALLOW_READABLE}=1 if you cannot",
        path.display()
    )))
}

#[cfg(not(unix))]
fn refuse_readable(_path: &Path, _file: &File) -> Result<(), Failure> {
    Ok(())
}

/// Asks for a line on the terminal without showing it.
pub(crate) fn ask_hidden(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let _ = std::io::stderr().flush();
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|error| {
            Failure::new(Exit::NeedsUnlock, "nothing could be read from the terminal")
                .because(&error)
        })
}

/// Asks a yes-or-no question; only a clear yes is one. Call only where somebody can be asked.
pub(crate) fn ask_yes(question: &str) -> Result<bool, Failure> {
    let answer = ask_line(&format!("{question}? [y/N] "))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a line that is no secret. Call only where somebody can be asked.
pub(crate) fn ask_line(prompt: &str) -> Result<String, Failure> {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{prompt}");
    let _ = stderr.flush();
    let mut answer = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_BYTES)
        .read_line(&mut answer)
        .map_err(|error| {
            Failure::new(Exit::NeedsUnlock, "nothing could be read from the terminal")
                .because(&error)
        })?;
    // The end of input is no answer, and asking again would never end.
    if read == 0 {
        return Err(Failure::new(Exit::NeedsUnlock, "nobody answered"));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_secret_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (mode, fine) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o620, false),
        ] {
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, "secret").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).is_ok(), fine, "{mode:o}");
        }
    }

    #[test]
    fn an_enormous_secret_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        crate::atomic::create_private(&path, &vec![b'a'; 100_000]).unwrap();
        assert!(read(&path).unwrap_err().message.contains("too large"));
    }
}
