//! A real PostgreSQL, started for the measurement and gone with it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::machine;

/// Starts a server on a core, and ends it when its standard input does. Servers refuse to run as root: there it is
/// somebody else's.
const SCRIPT: &str = r#"
bin=$1 dir=$2 core=$3
as() { if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; else exec "$@"; fi; }
if [ "$(id -u)" = 0 ]; then chown nobody:nogroup "$dir"; fi
cd "$dir" || exit 1
(as "$bin/initdb" -D "$dir/data" -U heirloom -A trust -N --no-locale -E UTF8) >"$dir/initdb.txt" 2>&1 ||
  { cat "$dir/initdb.txt" >&2; exit 1; }
if [ -n "$core" ]; then pin="taskset -c $core"; else pin=; fi
(as $pin "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=200 -c shared_buffers=256MB) \
  >"$dir/log.txt" 2>&1 &
pid=$!
until "$bin/pg_isready" -q -h "$dir"; do
  kill -0 $pid 2>/dev/null || { cat "$dir/log.txt" >&2; exit 1; }
  sleep 0.05
done
echo $pid
cat >/dev/null
kill -INT $pid
wait $pid
rm -rf "$dir"
"#;

/// A running server with a socket in its folder.
pub(super) struct Cluster {
    folder: PathBuf,
    bin: PathBuf,
    pid: u32,
    keeper: Child,
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
    /// `None`: there is no PostgreSQL here.
    pub(super) fn start(core: Option<u32>) -> Result<Option<Self>> {
        let Some(bin) = bin() else {
            return Ok(None);
        };
        // A disk, and short enough for a socket's name.
        let folder = tempfile::Builder::new()
            .prefix("heirloom-pg-")
            .tempdir()?
            .keep();
        let mut keeper = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args([&bin, &folder])
            .arg(core.map(|core| core.to_string()).unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().context("its output")?).read_line(&mut line)?;
        let pid = line.trim().parse().context("PostgreSQL does not start")?;
        Ok(Some(Self {
            folder,
            bin,
            pid,
            keeper,
        }))
    }

    /// Writes how a schema, which is made, is reached.
    pub(super) fn schema(&self, name: &str, file: &Path) -> Result<()> {
        self.sql(&format!("CREATE SCHEMA {name}"))?;
        let address = format!(
            "host={} user=heirloom dbname=postgres options='-c search_path={name}'\n",
            self.folder.display()
        );
        Ok(std::fs::write(file, address)?)
    }

    /// Runs a statement; gives what it prints.
    pub(super) fn sql(&self, text: &str) -> Result<String> {
        let done = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-U", "heirloom", "-d", "postgres", "-c", text, "-h"])
            .arg(&self.folder)
            .stdin(Stdio::null())
            .output()?;
        if !done.status.success() {
            bail!("{text}: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    }

    /// Flushes of the write-ahead log, ever.
    pub(super) fn flushes(&self) -> Result<f64> {
        Ok(self.sql("SELECT wal_sync FROM pg_stat_wal")?.parse()?)
    }

    /// Bytes of the whole database, on the disk.
    pub(super) fn bytes(&self) -> Result<u64> {
        self.sql("CHECKPOINT")?;
        Ok(self.sql("SELECT pg_database_size('postgres')")?.parse()?)
    }

    /// Seconds of the processor that all of its processes used.
    pub(super) fn seconds(&self) -> Result<f64> {
        machine::seconds_of_all(self.pid)
    }
}
