//! The file that the browser is opened on.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::seal::Secret;

const FORM: &str = include_str!("page/opening.html");

/// Writes the opening file into `folder`: only its owner may read it.
///
/// A program's arguments can be read by every user of a computer, and addresses end up in histories:
/// so the browser gets a path, and the file in it posts the token.
pub(crate) fn write(
    folder: &Path,
    port: u16,
    token: &Secret,
    rng: &mut impl CryptoRng,
) -> io::Result<PathBuf> {
    let mut name = [0; 8];
    rng.fill_bytes(&mut name);
    let path = std::path::absolute(folder)?.join(format!("open-{}.html", hex::encode(name)));
    let text = Zeroizing::new(
        FORM.replace("{{port}}", &port.to_string())
            .replace("{{token}}", &token.exposed_hex()),
    );
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path)?;
    if let Err(error) = file.write_all(text.as_bytes()) {
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_reads_the_file_and_its_name_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = crate::testing::rng(2);
        let token = Secret::generate(&mut rng);
        let path = write(folder.path(), 4242, &token, &mut rng).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("http://localhost:4242/open"));
        assert!(text.contains(token.exposed_hex().as_str()));
        assert!(!path.to_str().unwrap().contains(&token.exposed_hex()[..8]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
