//! A real PostgreSQL with certificates made here. Debian's PostgreSQL brings `openssl` along.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::super::address::Postgres as Address;
use super::super::{Opened, Postgres};
use crate::tests::cluster::Cluster;
use crate::vault::rng;

/// For a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server that offers TLS on two addresses of this computer; its certificate is for the first alone.
struct Server {
    cluster: Cluster,
    host: String,
    other_host: String,
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let done = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("Debian's PostgreSQL brings openssl along");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "openssl {arguments:?}: {said}");
}

const KEY: [&str; 5] = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
];

/// An authority, as `NAME.crt` with its key.
fn authority(folder: &Path, name: &str) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
    let subject = format!("/CN={name}");
    let mut arguments = vec!["req", "-x509", "-days", "30", "-subj", &subject];
    arguments.extend(KEY);
    arguments.extend(["-keyout", &key, "-out", &certificate]);
    openssl(folder, &arguments);
}

/// Addresses of this computer that nobody else uses: all of 127.0.0.0/8 leads here.
fn hosts() -> [String; 2] {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).unwrap();
    let [a, b] = bytes.map(|byte| byte % 250 + 2);
    [3, 4].map(|last| format!("127.{a}.{b}.{last}"))
}

fn start(hosts: &[String; 2]) -> Option<Cluster> {
    Cluster::start_with(&[format!("listen_addresses={}", hosts.join(","))])
}

/// Gives a server the key and the certificate that lie in its folder.
fn offer_tls(cluster: &Cluster) {
    let data = cluster.folder.join("data");
    // It takes a key of its own user alone.
    let owner = fs::metadata(&data).unwrap();
    for name in ["server.key", "server.crt"] {
        let to = data.join(name);
        fs::rename(cluster.folder.join(name), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    cluster.sql("public", "ALTER SYSTEM SET ssl = on");
    cluster.sql("public", "SELECT pg_reload_conf()");
    let mut tries = 0;
    while cluster.sql("public", "SHOW ssl") != "on" {
        std::thread::sleep(Duration::from_millis(10));
        tries += 1;
        assert!(tries < 2000, "the server takes its certificate");
    }
}

impl Server {
    fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        let hosts = hosts();
        let cluster = start(&hosts)?;
        let folder = &cluster.folder;
        authority(folder, "ours");
        authority(folder, "theirs");
        let mut request = vec!["req", "-subj", "/CN=database"];
        request.extend(KEY);
        request.extend(["-keyout", "server.key", "-out", "server.csr"]);
        openssl(folder, &request);
        let [host, other_host] = hosts;
        fs::write(
            folder.join("names"),
            format!("subjectAltName=IP:{host},DNS:database.example\n"),
        )
        .unwrap();
        let sign = "x509 -req -in server.csr -CA ours.crt -CAkey ours.key -CAcreateserial -days 30 \
                    -extfile names -out server.crt";
        openssl(folder, &sign.split_whitespace().collect::<Vec<_>>());
        offer_tls(&cluster);
        Some(Self {
            cluster,
            host,
            other_host,
        })
    }

    /// Opens a schema of its own with what the address says of TLS; the refusal, in words.
    fn open(&self, host: &str, of_tls: &str) -> Result<(Opened, String), String> {
        let schema = self.cluster.schema();
        let address = format!(
            "postgres://heirloom:canary@{host}/postgres?{of_tls}&application_name={schema}\
             &options=-c%20search_path%3D{schema}"
        );
        Ok((open(&address)?, schema))
    }

    fn authority(&self, name: &str) -> String {
        let folder = self.cluster.folder.display();
        format!("sslmode=verify-full&sslrootcert={folder}/{name}.crt")
    }
}

/// Opens the database of an address that stands in a file.
fn open(address: &str) -> Result<Opened, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("database-url");
    fs::write(&file, format!("{address}\n")).unwrap();
    let mut address = Address::from_file(&file).map_err(|error| error.to_string())?;
    address.connections = 1;
    address.deadline = PATIENCE;
    let opened = Postgres::open(&address, &folder.path().join("watermark"), &mut rng());
    opened.map_err(|error| error.to_string())
}

fn refusal(opened: Result<(Opened, String), String>) -> String {
    let Err(words) = opened else {
        panic!("it was used");
    };
    assert!(!words.contains("canary"), "{words}");
    words
}

#[test]
fn a_certificate_of_the_named_authority_for_the_named_host_is_taken_and_tls_is_used() {
    let Some(server) = Server::shared() else {
        return;
    };
    // Opened, its tables made: all that was said on a connection with TLS 1.3, of the workers, too.
    for mode in ["verify-full", "verify-ca", "require"] {
        let of_tls = server.authority("ours").replace("verify-full", mode);
        let (opened, schema) = server.open(&server.host, &of_tls).unwrap();
        let done = crate::db::run(&*opened.database, |sql| {
            sql.query("SELECT layout FROM vault_meta", &[])
        });
        let runtime = super::super::runtime().unwrap();
        assert_eq!(runtime.block_on(done).unwrap().len(), 1);
        let how = format!(
            "SELECT string_agg(DISTINCT ssl::text || ' ' || version, ',') FROM pg_stat_ssl \
             JOIN pg_stat_activity USING (pid) WHERE application_name = '{schema}'"
        );
        assert_eq!(server.cluster.sql("public", &how), "true TLSv1.3", "{mode}");
    }
}

#[test]
fn the_authority_may_lie_beside_the_address() {
    let Some(server) = Server::shared() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let beside = folder.path().join("authority.pem");
    fs::copy(server.cluster.folder.join("ours.crt"), beside).unwrap();
    let file = folder.path().join("database-url");
    let schema = server.cluster.schema();
    let address = format!(
        "host={} user=heirloom dbname=postgres sslmode=verify-full sslrootcert=authority.pem \
         options='-c search_path={schema}'",
        server.host
    );
    fs::write(&file, address).unwrap();
    let mut address = Address::from_file(&file).unwrap();
    address.deadline = PATIENCE;
    Postgres::open(&address, &folder.path().join("watermark"), &mut rng()).unwrap();
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let Some(server) = Server::shared() else {
        return;
    };
    // Another one, and the system's.
    for of_tls in [
        server.authority("theirs"),
        "sslmode=verify-full".to_owned(),
        "sslmode=require".to_owned(),
        "sslmode=verify-full&sslrootcert=system".to_owned(),
    ] {
        let words = refusal(server.open(&server.host, &of_tls));
        assert!(words.contains("sslrootcert=FILE"), "{of_tls}: {words}");
    }
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let Some(server) = Server::shared() else {
        return;
    };
    for mode in ["verify-full", "verify-ca", "require"] {
        let of_tls = server.authority("ours").replace("verify-full", mode);
        let words = refusal(server.open(&server.other_host, &of_tls));
        assert!(words.contains("for another name"), "{mode}: {words}");
    }
    let (opened, _) = server
        .open(&server.host, &server.authority("ours"))
        .unwrap();
    drop(opened);
}

#[test]
fn a_server_without_tls_is_refused_until_it_has_a_certificate() {
    let hosts = hosts();
    let Some(cluster) = start(&hosts) else {
        return;
    };
    authority(&cluster.folder, "ours");
    let server = Server {
        cluster,
        host: hosts[0].clone(),
        other_host: hosts[1].clone(),
    };
    let words = refusal(server.open(&server.host, &server.authority("ours")));
    assert!(words.contains("offers no TLS"), "{words}");
    let words = refusal(server.open(&server.other_host, "sslmode=require"));
    assert!(words.contains("`ssl = on`"), "{words}");
    // The same server is there, and in the clear on this computer it may be used.
    server.open(&server.host, "sslmode=prefer").unwrap();

    // As deploy/compose.yaml has it: a certificate that is its own authority, and no other's.
    let folder = &server.cluster.folder;
    let name = format!("subjectAltName=IP:{}", server.host);
    let mut own = vec!["req", "-x509", "-days", "30", "-subj", "/CN=database"];
    own.extend(KEY);
    own.extend([
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        &name,
    ]);
    own.extend(["-keyout", "server.key", "-out", "server.crt"]);
    openssl(folder, &own);
    fs::copy(folder.join("server.crt"), folder.join("own.crt")).unwrap();
    offer_tls(&server.cluster);
    server.open(&server.host, &server.authority("own")).unwrap();
    let words = refusal(server.open(&server.host, &server.authority("ours")));
    assert!(words.contains("sslrootcert=FILE"), "{words}");
}

#[test]
fn who_answers_that_there_is_no_tls_hears_nothing_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 8];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(b"N").unwrap();
        let mut more = Vec::new();
        // A connection that is reset said nothing either.
        let _ = stream.read_to_end(&mut more);
        (asked, more)
    });
    let address =
        format!("postgres://heirloom:canary@127.0.0.1:{port}/postgres?sslmode=verify-full");
    let Err(words) = open(&address) else {
        panic!("it was used");
    };
    assert!(words.contains("nothing was sent"), "{words}");
    let (asked, more) = heard.join().unwrap();
    // PostgreSQL's request for TLS, and nothing else.
    assert_eq!(asked, [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F]);
    assert_eq!(more, b"");
}

#[test]
fn a_file_without_an_authority_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.pem");
    let address = format!("postgres://db.example/vault?sslrootcert={}", file.display());
    let words = |what: &str| {
        let Err(words) = open(&address) else {
            panic!("{what}");
        };
        words
    };
    let missing = words("there is no file");
    assert!(missing.contains("cannot be read"), "{missing}");
    fs::write(&file, "no certificate").unwrap();
    let empty = words("there is none in it");
    assert!(empty.contains("holds no certificate"), "{empty}");
}
