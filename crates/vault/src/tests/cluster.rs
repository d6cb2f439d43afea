//! A real PostgreSQL, started by the test and gone with it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Starts a server, and ends it when its standard input does: with the process that started it, however that ends.
/// Servers refuse to run as root: there it is somebody else's.
const SCRIPT: &str = r#"
bin=$1 dir=$2
shift 2
as() { if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; else exec "$@"; fi; }
if [ "$(id -u)" = 0 ]; then chown nobody:nogroup "$dir"; fi
cd "$dir" || exit 1
(as "$bin/initdb" -D "$dir/data" -U heirloom -A trust -N --no-locale -E UTF8) >"$dir/initdb.txt" 2>&1 ||
  { cat "$dir/initdb.txt" >&2; exit 1; }
(as "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=200 -c shared_buffers=32MB "$@") \
  >"$dir/log.txt" 2>&1 &
pid=$!
until "$bin/pg_isready" -q -h "$dir"; do
  kill -0 $pid 2>/dev/null || { cat "$dir/log.txt" >&2; exit 1; }
  sleep 0.05
done
echo ready
cat >/dev/null
kill -INT $pid
wait $pid
rm -rf "$dir"
"#;

/// A running server with a socket in its folder.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) folder: PathBuf,
    bin: PathBuf,
    /// Ends the server when it is dropped, or when this process ends.
    keeper: Child,
    schemas: AtomicU32,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Where Debian's package puts the programs of the newest version.
fn bin() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("HEIRLOOM_POSTGRES") {
        return Some(named.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut bins: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    bins.sort();
    bins.pop()
}

impl Cluster {
    /// A server of its own, for a test that changes its settings. `None`: there is no PostgreSQL here.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same, with settings that only a start takes: `name=value`.
    pub(crate) fn start_with(settings: &[String]) -> Option<Self> {
        let Some(bin) = bin() else {
            let strict = std::env::var_os("HEIRLOOM_REQUIRE_SHARED");
            assert!(strict.is_none_or(|value| value != "1"), "no PostgreSQL");
            println!("skipped: there is no PostgreSQL (Debian: postgresql)");
            return None;
        };
        // In memory where that can be: a flush costs nothing there, and is asked for all the same.
        let memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        builder.prefix("heirloom-pg-");
        let folder = if memory.is_dir() {
            builder.tempdir_in(memory)
        } else {
            builder.tempdir()
        };
        let folder = folder.unwrap().keep();
        let mut keeper = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args([&bin, &folder])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n", "PostgreSQL starts");
        Some(Self {
            folder,
            bin,
            keeper,
            schemas: AtomicU32::new(1),
        })
    }

    /// The one that all tests of this program share; each has a schema of its own.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A new schema's name.
    pub(crate) fn schema(&self) -> String {
        let schema = format!("w{}", self.schemas.fetch_add(1, Ordering::SeqCst));
        self.sql("public", &format!("CREATE SCHEMA {schema}"));
        schema
    }

    /// How the vault is told of a schema.
    pub(crate) fn address(&self, schema: &str) -> String {
        let folder = self.folder.display();
        format!(
            "host={folder} user=heirloom dbname=postgres application_name=vault-{schema} options='-c search_path={schema}'"
        )
    }

    /// Runs statements; gives what they print, or the error's words.
    pub(crate) fn try_sql(&self, schema: &str, text: &str) -> Result<String, String> {
        let done = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-U", "heirloom", "-d", "postgres", "-c", text, "-h"])
            .arg(&self.folder)
            .env("PGOPTIONS", format!("-c search_path={schema}"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if done.status.success() {
            Ok(String::from_utf8(done.stdout).unwrap().trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        }
    }

    pub(crate) fn sql(&self, schema: &str, text: &str) -> String {
        self.try_sql(schema, text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}
