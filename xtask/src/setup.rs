//! What the checks need of the machine, and how to get it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::command::{Cmd, on_path, root, target};
use crate::wasm;

/// Something that a suite cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// A C compiler, for zstd, SQLite and AWS-LC.
    Cc,
    /// A compiler for wasm, and a C compiler that emits it.
    Wasm,
    /// Python with the packages of the independent reader.
    Python,
    /// Python with what asks a server everything that its document allows.
    Schemathesis,
    /// Chromium, and Node with what drives it.
    Browser,
}

const MOTO: &str = "moto[server,s3]==5.2.5";
const PYTHON_PACKAGES: &[&str] = &["kyber-py", "cryptography", "blake3", "zstandard"];

/// Installs what is missing of `needs`; says what could not be had.
pub(crate) fn install(needs: &BTreeSet<Need>) -> BTreeMap<Need, String> {
    let mut missing = BTreeMap::new();
    for &need in needs {
        let packages: &[&str] = match need {
            Need::Cc if on_path("cc") && on_path("git") => &[],
            Need::Cc => &["gcc", "libc6-dev", "git"],
            Need::Wasm if wasm::tools().is_some() && on_path("clang") => &[],
            Need::Wasm if wasm::tools().is_some() => &["clang"],
            Need::Wasm => &["rustc-web", "cargo-web", "rust-web-src", "lld", "clang"],
            Need::Python | Need::Schemathesis if venv_works() || venv_can_be_made() => &[],
            Need::Python | Need::Schemathesis => &["python3", "python3-venv"],
            Need::Browser if chromium().is_some() && on_path("node") && on_path("npm") => &[],
            Need::Browser if on_path("node") && on_path("npm") => &["chromium"],
            Need::Browser => &["chromium", "nodejs", "npm"],
        };
        let installed = apt(packages);
        let had = match need {
            Need::Cc => installed,
            Need::Python => installed.and_then(|()| venv()),
            Need::Schemathesis => installed.and_then(|()| schemathesis()),
            Need::Browser => installed.and_then(|()| node_packages()),
            // Where Debian has no such compiler, rustup may.
            Need::Wasm => wasm::prepare().map_err(|error| installed.err().unwrap_or(error)),
        };
        if let Err(error) = had {
            missing.insert(need, format!("{error:#}"));
        }
    }
    missing
}

/// Installs what some tests use where it is there; they say a word where it is not.
pub(crate) fn wish() {
    let has_moto = on_path("moto_server") || target().join("venv/bin/moto_server").is_file();
    if !has_moto && let Err(error) = moto() {
        println!("without moto, an S3 server: {error:#}");
    }
    if !on_path("softhsm2-util")
        && let Err(error) = apt(&["softhsm2"])
    {
        println!("without SoftHSM: {error:#}");
    }
    if !on_path("mkfs.xfs")
        && !Path::new("/usr/sbin/mkfs.xfs").is_file()
        && let Err(error) = apt(&["xfsprogs"])
    {
        println!("without the power-cut rig's file system: {error:#}");
    }
    if !has_postgres()
        && let Err(error) = postgres()
    {
        println!("without PostgreSQL: {error:#}");
    }
}

/// What a measurement holds our server against, or beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// A database.
    Postgres,
    /// A plain server of files.
    Nginx,
}

/// Installs it where it is missing; the measurement leaves out what cannot be had.
pub(crate) fn wish_for(beside: Beside) {
    let wished = match beside {
        Beside::Postgres if has_postgres() => Ok(()),
        Beside::Postgres => postgres(),
        Beside::Nginx if Path::new("/usr/sbin/nginx").is_file() => Ok(()),
        Beside::Nginx => apt(&["nginx-light"]),
    };
    if let Err(error) = wished {
        println!("without {beside:?}: {error:#}");
    }
}

/// Whether tests can start a PostgreSQL: Debian keeps its programs out of the path.
fn has_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    versions.is_ok_and(|mut versions| {
        versions.any(|version| version.is_ok_and(|v| v.path().join("bin/initdb").is_file()))
    })
}

/// The programs alone: Debian's package would make and start a server of its own.
fn postgres() -> Result<()> {
    apt(&["postgresql-common"])?;
    let settings = Path::new("/etc/postgresql-common/createcluster.conf");
    if settings.parent().is_some_and(Path::is_dir) {
        std::fs::write(settings, "create_main_cluster = false\n")?;
    }
    apt(&["postgresql"])
}

/// Three nodes of a database on this machine: etcd, Patroni, namespaces, a clock that can be set.
pub(crate) fn cluster() -> Result<()> {
    let programs = [
        ("etcd", "etcd-server"),
        ("nft", "nftables"),
        ("ip", "iproute2"),
        ("openssl", "openssl"),
        ("faketime", "faketime"),
    ];
    let missing: Vec<&str> = programs
        .into_iter()
        .filter(|(program, _)| !on_path(program))
        .map(|(_, package)| package)
        .collect();
    apt(&missing)?;
    if !has_postgres() {
        postgres()?;
    }
    let patroni = target().join("cluster/venv/bin/patroni");
    if Cmd::new(&patroni).args(["--version"]).answer().as_deref() == Some(PATRONI) {
        return Ok(());
    }
    // Debian's own Python: it runs as somebody without rights, who cannot look into a person's folder.
    let python = "/usr/bin/python3";
    let can = Cmd::new(python).args(["-c", "import venv, ensurepip"]);
    if can.answer().is_none() {
        apt(&["python3", "python3-venv"])?;
    }
    println!("making target/cluster/venv with {PATRONI}");
    let folder = target().join("cluster/venv");
    let steps = [
        Cmd::new(python)
            .args(["-m", "venv", "--clear"])
            .args([&folder]),
        Cmd::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "--requirement"])
            .args([root().join("bench/cluster/requirements.txt")]),
    ];
    for step in steps {
        let done = step.run()?;
        if !done.success {
            bail!("Patroni cannot be had: {}", last_lines(&done.output));
        }
    }
    Ok(())
}

/// As `bench/cluster/requirements.txt` has it.
const PATRONI: &str = "patroni 4.1.5";

/// A real S3 server for the vault's tests.
fn moto() -> Result<()> {
    if !venv_can_be_made() {
        apt(&["python3", "python3-venv"])?;
    }
    venv()?;
    println!("getting {MOTO}");
    let got = Cmd::new(python())
        .args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", MOTO])
        .run()?;
    if !got.success {
        bail!("pip could not install {MOTO}: {}", last_lines(&got.output));
    }
    Ok(())
}

/// Python of the environment that has the reader's packages.
pub(crate) fn python() -> PathBuf {
    target().join("venv/bin/python")
}

fn apt(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if !on_path("apt-get") {
        bail!("please install what Debian calls {names}");
    }
    if Cmd::new("id").args(["-u"]).answer().as_deref() != Some("0") {
        bail!("please run: apt-get install {names}");
    }
    println!("installing {names}");
    let apt = |args: &[&str]| {
        Cmd::new("apt-get")
            .args(["-o", "DPkg::Lock::Timeout=120", "-q"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // A server that is installed is not started.
            .env("RUNLEVEL", "1")
            .run()
    };
    // An old list is often good enough; a failed update shows in the install.
    let update = apt(&["update"])?;
    let install = apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())?;
    if !install.success {
        bail!(
            "apt-get could not install {names}: {}",
            last_lines(&[update.output, install.output].concat())
        );
    }
    Ok(())
}

fn venv_works() -> bool {
    imports(&python())
}

fn imports(python: &Path) -> bool {
    python.is_file()
        && Cmd::new(python)
            .args(["-c", "import kyber_py, cryptography, blake3, zstandard"])
            .answer()
            .is_some()
}

fn venv_can_be_made() -> bool {
    Cmd::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .answer()
        .is_some()
}

fn venv() -> Result<()> {
    if venv_works() {
        return Ok(());
    }
    println!("making target/venv with {}", PYTHON_PACKAGES.join(" "));
    let made = Cmd::new("python3")
        .args(["-m", "venv"])
        .args([target().join("venv")])
        .run()?;
    if !made.success {
        bail!("python3 -m venv failed: {}", last_lines(&made.output));
    }
    let got = Cmd::new(python())
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(PYTHON_PACKAGES)
        .run()?;
    if !got.success || !venv_works() {
        bail!(
            "pip could not install {}: {}",
            PYTHON_PACKAGES.join(" "),
            last_lines(&got.output)
        );
    }
    Ok(())
}

/// Pinned: another version finds other things.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

fn schemathesis() -> Result<()> {
    venv()?;
    let there = || {
        let shown = Cmd::new(python()).args(["-m", "pip", "show", "schemathesis"]);
        let version = SCHEMATHESIS.trim_start_matches("schemathesis==");
        shown
            .answer()
            .is_some_and(|text| text.contains(&format!("Version: {version}")))
    };
    if there() {
        return Ok(());
    }
    println!("getting {SCHEMATHESIS}");
    let got = Cmd::new(python())
        .args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", SCHEMATHESIS])
        .run()?;
    if !got.success || !there() {
        bail!(
            "pip could not install {SCHEMATHESIS}: {}",
            last_lines(&got.output)
        );
    }
    Ok(())
}

/// Debian's Chromium, or the one that `HEIRLOOM_CHROMIUM` names.
pub(crate) fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("HEIRLOOM_CHROMIUM").map(PathBuf::from);
    let path = named.unwrap_or_else(|| "/usr/bin/chromium".into());
    path.is_file().then_some(path)
}

/// The folder with the tests that drive a browser.
pub(crate) fn browser_tests() -> PathBuf {
    root().join("testdata/passkey")
}

const NODE_AT_LEAST: u32 = 20;

/// What the lock file names, in the versions and with the hashes that it names.
fn node_packages() -> Result<()> {
    if chromium().is_none() {
        bail!("there is no Chromium; HEIRLOOM_CHROMIUM may name one");
    }
    let version = Cmd::new("node").args(["--version"]).answer();
    let version = version.unwrap_or_default();
    let major = version.trim_start_matches('v').split('.').next();
    if major.and_then(|major| major.parse::<u32>().ok()) < Some(NODE_AT_LEAST) {
        bail!("Node.js {NODE_AT_LEAST} or newer is needed, and this is {version}");
    }
    let npm = |args: &[&str]| Cmd::new("npm").args(args).dir(&browser_tests());
    // Everything there, and as the lock file says.
    if npm(&["ls", "--all"]).answer().is_some() {
        return Ok(());
    }
    println!("getting the packages of testdata/passkey");
    let options = ["--ignore-scripts", "--no-audit", "--no-fund"];
    let got = npm(&["ci"]).args(options).run()?;
    if !got.success {
        bail!("npm ci failed: {}", last_lines(&got.output));
    }
    Ok(())
}

pub(crate) fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output
        .lines()
        .rev()
        .filter(|line| !line.trim().is_empty())
        .take(3)
        .collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}
