//! The same objects on a folder and on S3: a real S3 server, and a line to it that fails in every way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use heirloom_vault::{Config, Objects, Server};
use heirloom_vault_api::*;

use crate::client::Client;
use crate::running::{Running, start_in};
use crate::uploads::bytes;

/// Where moto's server is, if it is anywhere.
fn moto() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).map(|folder| folder.join("moto_server"));
    let found = [
        target.join("venv/bin/moto_server"),
        root.join("target/venv/bin/moto_server"),
    ]
    .into_iter()
    .chain(places)
    .find(|place| place.is_file());
    if found.is_none() {
        let is_required = std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_some_and(|v| v == "1");
        assert!(
            !is_required,
            "there is no moto_server (PyPI: moto[server,s3])"
        );
        println!("skipped: moto_server is absent");
    }
    found
}

/// A real S3 server that ends with the test.
struct S3 {
    child: Child,
    address: SocketAddr,
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl S3 {
    fn start() -> Option<Self> {
        let mut child = Command::new(moto()?)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split("http://").nth(1)?.trim().parse().ok())
            .expect("moto says where it listens");
        // Its log has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        let s3 = Self { child, address };
        assert_eq!(s3.ask("PUT", "/heirloom").0, 200);
        Some(s3)
    }

    fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    /// Names in the bucket.
    fn names(&self) -> Vec<String> {
        let (status, list) = self.ask("GET", "/heirloom?list-type=2");
        assert_eq!(status, 200);
        assert!(list.contains("<IsTruncated>false"), "{list}");
        list.split("<Key>")
            .skip(1)
            .map(|rest| rest.split("</Key>").next().unwrap().to_owned())
            .collect()
    }
}

/// What the line does to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It never arrives, and a status answers.
    Refused(u16),
    /// It arrives, and another status answers.
    Lied(u16),
    /// The connection ends before it arrives.
    Lost,
    /// It arrives, and the connection ends without an answer.
    Unanswered,
    /// Half of the request arrives.
    Torn,
    /// Half of the answer comes back.
    Cut,
    /// The answer comes in drops.
    Slow,
    /// It never arrives, and nobody answers.
    Held,
    /// It arrives, and nobody answers.
    Silent,
}

/// What happens to a request with this head.
type Faults = Box<dyn FnMut(&str) -> Fault + Send>;

/// A line to the storage that fails.
#[derive(Clone)]
struct Line {
    address: SocketAddr,
    faults: Arc<Mutex<Faults>>,
    requests: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<Fault>>>,
    is_down: Arc<AtomicBool>,
}

impl Line {
    fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            address: listener.local_addr().unwrap(),
            faults: Arc::new(Mutex::new(Box::new(|_| Fault::None))),
            requests: Arc::default(),
            seen: Arc::default(),
            is_down: Arc::default(),
        };
        let this = line.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let this = this.clone();
                std::thread::spawn(move || {
                    let _ = this.serve(&client, to);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        line
    }

    fn fail(&self, faults: impl FnMut(&str) -> Fault + Send + 'static) {
        *self.faults.lock().unwrap() = Box::new(faults);
    }

    fn serve(&self, client: &TcpStream, to: SocketAddr) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let mut reader = BufReader::new(client.try_clone()?);
        loop {
            let (head, length) = head(&mut reader)?;
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            self.requests.fetch_add(1, Ordering::SeqCst);
            let fault = if self.is_down.load(Ordering::SeqCst) {
                Fault::Lost
            } else {
                (self.faults.lock().unwrap())(&head)
            };
            if fault != Fault::None {
                self.seen.lock().unwrap().push(fault);
            }
            let mut out = client;
            match fault {
                Fault::Lost => return Ok(()),
                Fault::Held => {
                    std::thread::sleep(Duration::from_secs(3));
                    return Ok(());
                }
                Fault::Refused(status) => {
                    write!(out, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n")?;
                    continue;
                }
                _ => (),
            }
            let mut server = TcpStream::connect(to)?;
            let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            server.write_all(head.as_bytes())?;
            if fault == Fault::Torn {
                server.write_all(&body[..length / 2])?;
                return Ok(());
            }
            server.write_all(&body)?;
            let mut answer = Vec::new();
            server.read_to_end(&mut answer)?;
            match fault {
                Fault::Unanswered => return Ok(()),
                Fault::Silent => {
                    std::thread::sleep(Duration::from_secs(3));
                    return Ok(());
                }
                Fault::Lied(status) => {
                    write!(out, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n")?;
                    continue;
                }
                Fault::Cut => {
                    out.write_all(&answer[..answer.len() - answer.len() / 3 - 1])?;
                }
                Fault::Slow => {
                    for drops in answer.chunks(answer.len().div_ceil(8).max(1)) {
                        out.write_all(drops)?;
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                _ => out.write_all(&answer)?,
            }
            // What moto answers ends with the connection.
            return Ok(());
        }
    }
}

fn head(reader: &mut impl std::io::BufRead) -> std::io::Result<(String, usize)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line == "\r\n" {
            return Ok((head, length));
        }
    }
}

fn settings(folder: &Path, endpoint: SocketAddr) -> PathBuf {
    let path = folder.join("s3.toml");
    let text = format!(
        "endpoint = \"http://{endpoint}\"\nbucket = \"heirloom\"\nregion = \"eu-central-1\"\ntimeout_s = 1\nprefix = \"objects\"\n\
         access_key_id = \"canary-id\"\nsecret_access_key = \"canary-secret\"\n"
    );
    std::fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    path
}

fn on_s3(endpoint: SocketAddr, change: impl FnOnce(&mut Config)) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let file = settings(folder.path(), endpoint);
    start_in(folder, move |config| {
        config.objects = Objects::S3 { file };
        change(config);
    })
}

/// Where nothing hangs on purpose: a machine with other work takes longer than a second for 20 MB.
fn patient(config: &mut Config) {
    let Objects::S3 { file } = &config.objects else {
        unreachable!()
    };
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, text.replace("timeout_s = 1\n", "timeout_s = 30\n")).unwrap();
}

const LARGE: usize = 20_000_001;

fn put(client: &Client, name: &str, body: &[u8]) -> u16 {
    let path = format!("/v1/blobs/{name}");
    client.send("PUT", &path, &[], body).unwrap().status
}

fn range(client: &Client, name: &str, range: &str) -> (u16, Vec<u8>) {
    let path = format!("/v1/blobs/{name}");
    let answer = client.send("GET", &path, &[("range", range)], b"");
    let answer = answer.unwrap();
    (answer.status, answer.body)
}

/// Large, small and empty objects; ranges over the borders of pieces; names; deletion after the grace.
fn keeps_the_contract(server: &Running) {
    let client = server.signed_in();
    let large = bytes(LARGE, 1);
    assert_eq!(put(&client, "large", &large), 201);
    assert_eq!(put(&client, "large", b"other"), 409);
    assert_eq!(put(&client, "small", b"small"), 201);
    assert_eq!(put(&client, "empty", b""), 201);
    let exact = &large[..8 << 20];
    assert_eq!(put(&client, "exact", exact), 201);
    let get = |name: &str| client.get(&format!("/v1/blobs/{name}")).body;
    assert!(get("large") == large);
    assert!(get("exact") == exact);
    assert_eq!(get("small"), b"small");
    assert_eq!(get("empty"), b"");
    for (first, end) in [
        (0, 1),
        (8_388_607, 8_388_609),
        (8_388_608, 8_388_609),
        (5_000_000, 17_000_000),
        (LARGE - 1, LARGE),
    ] {
        let (status, body) = range(&client, "large", &format!("bytes={first}-{}", end - 1));
        assert_eq!(status, 206);
        assert!(body == large[first..end], "{first}-{end}");
    }
    assert_eq!(range(&client, "large", "bytes=20000001-").0, 416);
    let head = client.send("HEAD", "/v1/blobs/large", &[], b"");
    // A head has no body, whatever length it states.
    drop(head);
    let list: BlobList = client.get("/v1/blobs").json();
    let sizes: Vec<_> = list.blobs.iter().map(|blob| blob.size).collect();
    assert_eq!(sizes, [0, 8 << 20, 20_000_001, 5]);
    // Gone on with after a cut, across the borders of pieces.
    let words = UploadStart {
        name: BlobName::try_from("resumed".to_owned()).unwrap(),
        size: 20_000_001,
        sha256: Fixed(<sha2::Sha256 as sha2::Digest>::digest(&large).into()),
    };
    let at: UploadAt = client.post("/v1/uploads", &words).unwrap().json();
    let place = format!("/v1/uploads/{}", at.upload.to_text());
    let patch = |offset: usize, part: &[u8]| {
        let offset = offset.to_string();
        let header = [("upload-offset", offset.as_str())];
        client.send("PATCH", &place, &header, part).unwrap().status
    };
    assert_eq!(patch(0, &large[..9_000_000]), 200);
    assert_eq!(patch(9_000_000, &large[9_000_000..]), 201);
    assert!(get("resumed") == large);
    for name in ["large", "small", "empty", "exact", "resumed"] {
        let blob = format!("/v1/blobs/{name}");
        assert_eq!(client.send("DELETE", &blob, &[], b"").unwrap().status, 200);
        assert_eq!(client.get(&blob).status, 404);
    }
    let account: Account = client.get("/v1/account").json();
    assert_eq!(account.used_bytes, 0);
    server.runtime.block_on(server.admin.sweep()).unwrap();
}

#[test]
fn a_folder_keeps_the_contract_of_objects() {
    let server = start_in(tempfile::tempdir().unwrap(), |config| {
        config.grace = Duration::ZERO;
    });
    keeps_the_contract(&server);
    let folder = server.stop();
    assert!(crate::running::walk(&folder.path().join("data/blobs")).is_empty());
}

#[test]
fn an_s3_storage_keeps_the_contract_of_objects_and_learns_nothing_of_accounts() {
    let Some(s3) = S3::start() else { return };
    let line = Line::start(s3.address);
    let heads = Arc::new(Mutex::new(String::new()));
    let kept = heads.clone();
    line.fail(move |head| {
        kept.lock().unwrap().push_str(head);
        Fault::None
    });
    let server = on_s3(line.address, |config| {
        patient(config);
        config.grace = Duration::ZERO;
    });
    keeps_the_contract(&server);
    assert!(s3.names().is_empty());
    let client = server.signed_in();
    put(&client, "packs/name-of-mine", &bytes(9_000_000, 2));
    let names = s3.names();
    assert_eq!(names.len(), 2, "{names:?}");
    for name in &names {
        let rest = name.strip_prefix("objects/").unwrap();
        let (folder, file) = rest.split_once('/').unwrap();
        let (object, piece) = file.split_once('.').unwrap();
        assert!(object.starts_with(folder) && ["0", "1"].contains(&piece));
        assert!(object.len() == 32 && object.bytes().all(|b| b.is_ascii_hexdigit()));
    }
    let account: Account = client.get("/v1/account").json();
    let heads = heads.lock().unwrap();
    for secret in [
        "name-of-mine",
        "canary-secret",
        &account.account.to_text(),
        &client.token.as_ref().unwrap().0.to_text(),
    ] {
        assert!(!heads.contains(secret), "{secret}");
    }
    // Nothing that a crash could leave half-written behind is ever begun.
    assert!(!heads.contains("uploads"), "no multi-part upload");
    let lines = server.lines.lock().unwrap().join("\n");
    assert!(!lines.contains("canary"), "{lines}");
    server.stop();
}

fn seed() -> u64 {
    let seed = std::env::var("HEIRLOOM_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("seed {seed}");
    seed
}

fn dice(seed: u64) -> impl FnMut() -> u64 + Send {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[test]
fn over_a_line_that_fails_in_every_way_nothing_is_lost_and_nothing_doubled() {
    let Some(s3) = S3::start() else { return };
    let line = Line::start(s3.address);
    let server = on_s3(line.address, |config| config.grace = Duration::ZERO);
    let client = server.signed_in();
    let kinds = [
        Fault::Refused(500),
        Fault::Refused(503),
        Fault::Refused(429),
        Fault::Lied(500),
        Fault::Lost,
        Fault::Unanswered,
        Fault::Torn,
        Fault::Cut,
        Fault::Slow,
    ];
    let mut next = dice(seed());
    let mut row = 0;
    line.fail(move |_| {
        let roll = next();
        // Never so often in a row that patience may end, so that every request must be done.
        if row < 2 && roll.is_multiple_of(3) {
            row += 1;
            kinds[usize::try_from((roll >> 8) % 9).unwrap()]
        } else {
            row = 0;
            Fault::None
        }
    });
    let objects: Vec<_> = (0..12_u64)
        .map(|number| {
            let length = [100_000, 8 << 20, 9_000_000][usize::try_from(number % 3).unwrap()];
            (format!("o{number}"), bytes(length, number))
        })
        .collect();
    for (name, object) in &objects {
        assert_eq!(put(&client, name, object), 201, "{name}");
        let got = client.get(&format!("/v1/blobs/{name}"));
        assert!(got.body == *object, "{name}");
    }
    for (name, object) in &objects {
        let (status, body) = range(&client, name, "bytes=50000-99999");
        assert_eq!(status, 206);
        assert!(body == object[50_000..100_000], "{name}");
    }
    let account: Account = client.get("/v1/account").json();
    let stored: usize = objects.iter().map(|(_, object)| object.len()).sum();
    assert_eq!(account.used_bytes, u64::try_from(stored).unwrap());
    // One, one and two pieces.
    assert_eq!(s3.names().len(), 4 + 4 + 8);
    for (name, _) in objects.iter().take(6) {
        let path = format!("/v1/blobs/{name}");
        assert_eq!(client.send("DELETE", &path, &[], b"").unwrap().status, 200);
    }
    server.runtime.block_on(server.admin.sweep()).unwrap();
    assert_eq!(s3.names().len(), 2 + 2 + 4);
    println!("{} faults", line.seen.lock().unwrap().len());
    server.stop();
}

#[test]
fn a_storage_that_goes_silent_before_or_after_it_has_done_it_is_asked_again() {
    let Some(s3) = S3::start() else { return };
    let line = Line::start(s3.address);
    let server = on_s3(line.address, |config| config.grace = Duration::ZERO);
    let client = server.signed_in();
    let mut faults = [Fault::Held, Fault::Silent].into_iter();
    line.fail(move |_| faults.next().unwrap_or(Fault::None));
    assert_eq!(put(&client, "a", b"bytes"), 201);
    assert_eq!(s3.names().len(), 1);
    line.fail({
        let mut faults = [Fault::Silent].into_iter();
        move |_| faults.next().unwrap_or(Fault::None)
    });
    assert_eq!(client.get("/v1/blobs/a").body, b"bytes");
    line.fail({
        let mut faults = [Fault::Silent].into_iter();
        move |_| faults.next().unwrap_or(Fault::None)
    });
    client.send("DELETE", "/v1/blobs/a", &[], b"").unwrap();
    server.runtime.block_on(server.admin.sweep()).unwrap();
    assert!(s3.names().is_empty());
    server.stop();
}

#[test]
fn a_storage_that_is_away_is_said_and_asked_a_few_times_only() {
    let Some(s3) = S3::start() else { return };
    let line = Line::start(s3.address);
    let server = on_s3(line.address, |_| ());
    let client = server.signed_in();
    assert_eq!(put(&client, "before", b"before"), 201);
    line.is_down.store(true, Ordering::SeqCst);
    let asked = line.requests.load(Ordering::SeqCst);
    let began = Instant::now();
    let refused = client.send("PUT", "/v1/blobs/a", &[], b"bytes").unwrap();
    assert_eq!(refused.problem().code, Code::Unavailable);
    let refused = client.get("/v1/blobs/before");
    assert_eq!(refused.problem().code, Code::Unavailable);
    // Four times each, and once for a connection that was kept: the write, the clearing away after it, the read, which
    // is begun twice, and the search for orphans that a server begins with.
    let asked = line.requests.load(Ordering::SeqCst) - asked;
    assert!((8..=5 * 5).contains(&asked), "{asked}");
    println!("{asked} requests in {:?}", began.elapsed());
    let account: Account = client.get("/v1/account").json();
    assert_eq!(account.used_bytes, 6);
    line.is_down.store(false, Ordering::SeqCst);
    assert_eq!(put(&client, "a", b"bytes"), 201);
    assert_eq!(client.get("/v1/blobs/before").body, b"before");
    // And a server that cannot reach it does not begin.
    let folder = server.stop();
    line.is_down.store(true, Ordering::SeqCst);
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), folder.path().join("data"));
    config.objects = Objects::S3 {
        file: folder.path().join("s3.toml"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(Server::bind(config)).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the storage for objects cannot be used"),
        "{error}"
    );
}

#[test]
fn slow_uploads_hold_no_place_of_the_storage() {
    let Some(s3) = S3::start() else { return };
    let server = on_s3(s3.address, |_| ());
    crate::objects::slow_uploads_keep_nobody_from_theirs(&server, (5, 4), &bytes(9_000_000, 3));
    server.stop();
}

#[test]
fn a_body_that_a_crash_left_on_the_way_to_the_storage_goes() {
    let Some(s3) = S3::start() else { return };
    let folder = on_s3(s3.address, |_| ()).stop();
    let file = folder.path().join("s3.toml");
    let part = folder.path().join("data/blobs/part");
    std::fs::write(part.join("left"), b"half").unwrap();
    let server = start_in(folder, |config| config.objects = Objects::S3 { file });
    assert!(crate::running::walk(&part).is_empty());
    server.stop();
}
