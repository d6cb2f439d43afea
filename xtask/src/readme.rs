//! The README's first command, as a stranger runs it: in a fresh clone, with an empty home.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{Cmd, root, target};
use crate::suites::{Outcome, quickly_linked};

/// Clones what is committed, runs the command, and looks at what it left.
pub(crate) fn run() -> Result<Outcome> {
    let line =
        first_command(&fs::read_to_string(root().join("README.md")).context("read README.md")?)?;
    let place = tempfile::tempdir()?;
    let (clone, home) = (place.path().join("clone"), place.path().join("home"));
    fs::create_dir(&home)?;
    let cloned = Cmd::new("git")
        .args(["clone", "--quiet"])
        .args([root(), &clone])
        .run()?;
    ensure!(cloned.success, "git clone: {}", cloned.output);
    keep_times(&clone)?;
    let tools = |name: &str, folder: &str| {
        std::env::var_os(name).map_or_else(|| home_of_tools().join(folder), PathBuf::from)
    };
    let ran = quickly_linked(Cmd::new("sh"))
        .args(["-c", &line])
        .dir(&clone)
        .env("HOME", &home)
        .env("CARGO_HOME", tools("CARGO_HOME", ".cargo"))
        .env("RUSTUP_HOME", tools("RUSTUP_HOME", ".rustup"))
        // What is built already is not built again, as long as the clone has every file of it, with the same bytes.
        .env("CARGO_TARGET_DIR", std::path::absolute(target())?)
        .without("CARGO")
        .run()?;
    ensure!(ran.success, "{line}\n{}", ran.output);
    let key = clone.join("my-recovery-key.txt");
    let mode = fs::metadata(&key)
        .with_context(|| format!("the command left no {}\n{}", key.display(), ran.output))?
        .permissions()
        .mode();
    ensure!(
        mode & 0o777 == 0o600,
        "the key file has mode {:o}",
        mode & 0o777
    );
    let check = Cmd::new(target().join("release/heirloom"))
        .args([
            "check",
            "./my-backup",
            "--read-data",
            "--recovery-key-file",
            "./my-recovery-key.txt",
        ])
        .dir(&clone)
        .env("HOME", &home)
        .run()?;
    ensure!(check.success, "heirloom check: {}", check.output);
    let status = Cmd::new("git")
        .args(["status", "--porcelain"])
        .dir(&clone)
        .run()?;
    ensure!(
        status.output.trim().is_empty(),
        "the command left files that git sees:\n{}",
        status.output
    );
    Ok(Outcome::one(ran))
}

/// Gives each file of the clone that is as it is here the time that it has here.
///
/// Cargo knows our packages by their place in the workspace, and builds one anew when a file that its build read is newer
/// or gone. So it builds what differs from the clone, and sees that nothing is missing there.
fn keep_times(clone: &Path) -> Result<()> {
    let listed = Cmd::new("git").args(["ls-files", "-z"]).dir(clone).run()?;
    ensure!(listed.success, "git ls-files: {}", listed.output);
    for name in listed.output.split_terminator('\0') {
        let (here, there) = (root().join(name), clone.join(name));
        let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|file| file.is_file());
        if !is_file(&here) || !is_file(&there) || fs::read(&here)? != fs::read(&there)? {
            continue;
        }
        let modified = fs::metadata(&here)?.modified()?;
        fs::OpenOptions::new()
            .write(true)
            .open(&there)
            .and_then(|file| file.set_modified(modified))
            .with_context(|| format!("give {} its time", there.display()))?;
    }
    Ok(())
}

fn home_of_tools() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from)
}

/// The first shell line of the README that runs the program.
fn first_command(readme: &str) -> Result<String> {
    let mut lines = readme
        .lines()
        .map(|line| line.trim().trim_start_matches("$ "));
    let Some(first) = lines.find(|line| line.starts_with("cargo run --release")) else {
        bail!("README.md has no line that begins with `cargo run --release`");
    };
    let mut whole = first.to_owned();
    while let Some(start) = whole.strip_suffix('\\') {
        whole = format!(
            "{start} {}",
            lines.next().context("README.md ends inside the command")?
        );
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_found_and_its_lines_joined() {
        let readme =
            "# Heirloom\n```sh\n$ cargo run --release -- backup a.zip \\\n    --to ./b\n```\n";
        let words: Vec<String> = first_command(readme)
            .unwrap()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        assert_eq!(
            words.join(" "),
            "cargo run --release -- backup a.zip --to ./b"
        );
    }

    #[test]
    fn files_of_a_clone_get_their_times_and_those_that_differ_do_not() {
        let clone = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| {
            let ran = Cmd::new("git").args(args).dir(clone.path()).run().unwrap();
            assert!(ran.success, "{}", ran.output);
        };
        git(&["init", "--quiet"]);
        fs::copy(root().join("LICENSE-MIT"), clone.path().join("LICENSE-MIT")).unwrap();
        fs::write(clone.path().join("README.md"), "another").unwrap();
        fs::write(clone.path().join("no such file here"), "").unwrap();
        git(&["add", "."]);
        keep_times(clone.path()).unwrap();
        let time = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        let same = |name: &str| time(root().join(name)) == time(clone.path().join(name));
        assert!(same("LICENSE-MIT"));
        assert!(!same("README.md"));
    }

    #[test]
    fn a_readme_without_the_command_is_refused() {
        assert!(first_command("# Heirloom\n").is_err());
    }
}
