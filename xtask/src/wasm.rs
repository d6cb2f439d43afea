//! The client crates, built and linked for the browser (docs/adr/0001-wasm.md).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::command::{Cmd, on_path, root, target};
use crate::suites::Outcome;

const TRIPLE: &str = "wasm32-unknown-unknown";
const CRATES: &[(&str, &str)] = &[
    ("archive", ""),
    ("keys", ""),
    ("engine", ", default-features = false"),
    ("importers", ""),
    ("vault-api", ""),
];

/// A tool chain that can build for wasm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tools {
    /// The tool chain in use has the target.
    Own,
    /// Debian's `rustc-web`, which builds the standard library from source.
    Debian,
}

/// The tool chain that is there, if any.
pub(crate) fn tools() -> Option<Tools> {
    let libraries = Cmd::new("rustc")
        .args(["--print", "target-libdir", "--target", TRIPLE])
        .answer();
    if libraries.is_some_and(|dir| has_std(Path::new(&dir))) {
        return Some(Tools::Own);
    }
    let sysroot = Cmd::new("/usr/bin/rustc")
        .args(["--print", "sysroot"])
        .answer()?;
    let source = Path::new(&sysroot).join("lib/rustlib/src/rust/library/std/Cargo.toml");
    (source.is_file() && Path::new("/usr/bin/cargo").is_file() && on_path("wasm-ld"))
        .then_some(Tools::Debian)
}

fn has_std(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|files| {
        files
            .flatten()
            .any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

/// After Debian's packages were tried: rustup, where there is one.
pub(crate) fn prepare() -> Result<()> {
    if tools().is_none() && on_path("rustup") {
        Cmd::new("rustup").args(["target", "add", TRIPLE]).run()?;
    }
    if tools().is_none() {
        bail!("there is no compiler for {TRIPLE}");
    }
    Ok(())
}

/// Builds one library that holds all client crates, so that linking is checked too.
pub(crate) fn run() -> Result<Outcome> {
    let Some(tools) = tools() else {
        bail!("there is no compiler for {TRIPLE}")
    };
    let all = target().join("wasm-all");
    write_crate(&all)?;
    let dir = target().join("wasm");
    let cargo = match tools {
        Tools::Own => Cmd::cargo(["build"]),
        Tools::Debian => Cmd::new("/usr/bin/cargo")
            .args(["build", "-Z", "build-std=std,panic_abort"])
            .without("RUSTUP_TOOLCHAIN")
            .without("CARGO")
            .without("RUSTC_WRAPPER")
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTDOC", "/usr/bin/rustdoc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env(
                "PATH",
                format!("/usr/bin:{}", std::env::var("PATH").unwrap_or_default()),
            )
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld"),
    };
    let built = cargo
        .args(["--target", TRIPLE])
        .env("CARGO_TARGET_DIR", &dir)
        .dir(&all)
        .run()?;
    Ok(Outcome::one(built))
}

/// A package outside the workspace, so that its features are its own.
fn write_crate(dir: &Path) -> Result<()> {
    let mut manifest = String::from(MANIFEST);
    for (name, rest) in CRATES {
        let path = root().join("crates").join(name);
        let path = path.display().to_string();
        writeln!(manifest, "heirloom-{name} = {{ path = {path:?}{rest} }}")?;
    }
    fs::create_dir_all(dir.join("src"))?;
    write_if_changed(&dir.join("Cargo.toml"), &manifest)?;
    write_if_changed(&dir.join("src/lib.rs"), SOURCE)?;
    // The same versions as the workspace; cargo drops what is not used.
    fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock"))?;
    Ok(())
}

const MANIFEST: &str = r#"[package]
name = "heirloom-wasm-all"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[lib]
crate-type = ["cdylib"]

[profile.dev]
debug = false

[dependencies]
rusqlite = { version = "*", default-features = false }
sqlite-wasm-rs = { version = "0.6", features = ["wasm-bindgen"] }
"#;

/// The linker takes in only what is used, so this names the great entrances of each crate.
const SOURCE: &str = r#"//! Links every client crate for the browser.
use std::hint::black_box;

#[unsafe(no_mangle)]
pub extern "C" fn keep() {
    black_box(heirloom_archive::canon::canonical as fn(_, _) -> _);
    black_box(heirloom_engine::backup::run as fn(_) -> _);
    black_box(heirloom_engine::repository::Repository::open as fn(_, _, _) -> _);
    black_box(heirloom_importers::whatsapp::text::TextExport::from_bytes as fn(_, _, _) -> _);
    black_box(heirloom_keys::RecoveryKey::parse as fn(_) -> _);
    // The importers' SQLite; its reader of folders needs a file system and is not there yet.
    black_box(rusqlite::Connection::open_in_memory as fn() -> _);
}
"#;

fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text)?;
    }
    Ok(())
}
