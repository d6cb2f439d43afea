use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ask::Options;
use crate::client::{self, Client, Reply};
use crate::session::Session;
use crate::testing::rng;

/// A session nobody has opened yet.
struct Waiting {
    _session: Session,
    opening: PathBuf,
    token: String,
    port: u16,
    _folder: tempfile::TempDir,
}

fn waiting() -> Waiting {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        repository: [7; 16],
        backup_label: "a disk",
        folder: folder.path(),
        timeout: Duration::from_secs(20),
        site: None,
    };
    let mut opening = PathBuf::new();
    let mut open = |path: &Path| {
        path.clone_into(&mut opening);
        Ok(())
    };
    let session = Session::begin(&options, &mut open, &mut rng(3)).unwrap();
    let text = std::fs::read_to_string(&opening).unwrap();
    let after = |mark: &str| text.split(mark).nth(1).unwrap().to_owned();
    let token = after("name=\"token\" value=\"")[..64].to_owned();
    let port = after("http://localhost:")
        .split('/')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    Waiting {
        _session: session,
        opening,
        token,
        port,
        _folder: folder,
    }
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

impl Waiting {
    fn open(&self, token: &str, origin: &str) -> Reply {
        let headers = [("Origin", origin), FORM];
        let form = format!("token={token}");
        client::request(self.port, "POST", "/open", &headers, form.as_bytes()).unwrap()
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        client::request(self.port, "GET", path, headers, &[]).unwrap()
    }
}

#[test]
fn the_token_works_once_and_its_file_goes() {
    let waiting = waiting();
    let first = waiting.open(&waiting.token, "null");
    assert_eq!(first.status, 200);
    assert!(
        first.head.contains("HttpOnly; SameSite=Strict; Path=/"),
        "{}",
        first.head
    );
    assert!(!first.body.contains(&waiting.token));
    assert!(!waiting.opening.exists());
    let second = waiting.open(&waiting.token, "null");
    assert_eq!(second.status, 410);
    assert!(second.body.contains("This page was opened already"));
    assert!(!second.head.contains("set-cookie"));
}

#[test]
fn a_wrong_token_opens_nothing_and_kills_nothing() {
    let waiting = waiting();
    for wrong in [
        "",
        "00",
        &"0".repeat(64),
        &waiting.token.to_uppercase(),
        &waiting.token[1..],
    ] {
        let reply = waiting.open(wrong, "null");
        assert_eq!(reply.status, 403, "{wrong}");
        assert!(reply.body.contains("This page was not opened by Heirloom"));
    }
    assert_eq!(waiting.open(&waiting.token, "null").status, 200);
}

#[test]
fn only_a_file_of_ours_opens_the_page() {
    let waiting = waiting();
    for origin in [
        "https://evil.example",
        "http://localhost:1",
        "http://127.0.0.1",
    ] {
        assert_eq!(waiting.open(&waiting.token, origin).status, 403, "{origin}");
    }
    let framed = [("Origin", "null"), ("Sec-Fetch-Dest", "iframe"), FORM];
    let form = format!("token={}", waiting.token);
    let reply = client::request(waiting.port, "POST", "/open", &framed, form.as_bytes()).unwrap();
    assert_eq!(reply.status, 403);
    assert!(reply.body.contains("This request came from another page"));
}

#[test]
fn a_foreign_name_is_refused() {
    let waiting = waiting();
    let port = waiting.port;
    let foreign = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "localhost".to_owned(),
        "localhost:1".to_owned(),
        format!("localhost.:{port}"),
        format!("LOCALHOST:{port}"),
        format!("0.0.0.0:{port}"),
    ];
    for host in &foreign {
        for path in ["/", "/next", "/ceremony.js"] {
            let reply = waiting.get(path, &[("Host", host)]);
            assert_eq!(reply.status, 421, "{host}");
            assert!(reply.body.contains("This address is not served here"));
        }
    }
    let ours = format!("localhost:{port}");
    let two = waiting.get("/", &[("Host", &ours), ("Host", "evil.example")]);
    assert!([400, 421].contains(&two.status));
    let proxied = waiting.get(
        &format!("http://localhost:{port}/ceremony.js"),
        &[("Host", &ours)],
    );
    assert_eq!(proxied.status, 421);
}

#[test]
fn numeric_addresses_are_sent_to_the_name() {
    let waiting = waiting();
    let port = waiting.port;
    for host in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let reply = waiting.get("/next", &[("Host", &host)]);
        assert_eq!(reply.status, 307);
        assert!(
            reply
                .head
                .contains(&format!("location: http://localhost:{port}/")),
            "{}",
            reply.head
        );
        let posted = client::request(port, "POST", "/answer", &[("Host", &host)], b"{}").unwrap();
        assert_eq!(posted.status, 421);
    }
}

#[test]
fn without_cookie_or_key_there_is_nothing() {
    let waiting = waiting();
    let page = Client::open(&waiting.opening).unwrap();
    let (cookie, bearer) = (
        ("Cookie", page.cookie.as_str()),
        ("Authorization", page.bearer.as_str()),
    );
    // Another program's page on localhost is sent our cookie: it is not enough.
    for headers in [
        vec![],
        vec![bearer],
        vec![cookie],
        vec![cookie, ("Authorization", "Heirloom 00")],
    ] {
        let reply = waiting.get("/next", &headers);
        assert_eq!(reply.status, 403, "{headers:?}");
        assert!(reply.body.contains("This page is opened from Heirloom"));
    }
    assert_eq!(waiting.get("/", &[]).status, 403);
    let reloaded = waiting.get("/", &[cookie]);
    assert_eq!(reloaded.status, 200);
    assert!(reloaded.body.contains("name=\"heirloom-key\" content=\"\""));
}

#[test]
fn another_page_cannot_post_even_with_everything() {
    let waiting = waiting();
    let page = Client::open(&waiting.opening).unwrap();
    let ours = page.origin();
    let post = |more: &[(&str, &str)]| {
        let mut headers = vec![
            ("Cookie", page.cookie.as_str()),
            ("Authorization", page.bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        headers.extend_from_slice(more);
        client::request(page.port, "POST", "/answer", &headers, b"{}")
            .unwrap()
            .status
    };
    assert_eq!(post(&[("Origin", &ours)]), 400);
    assert_eq!(post(&[]), 403);
    assert_eq!(post(&[("Origin", "null")]), 403);
    assert_eq!(post(&[("Origin", "http://localhost:1")]), 403);
    assert_eq!(
        post(&[("Origin", &ours), ("Sec-Fetch-Site", "same-site")]),
        403
    );
    assert_eq!(
        post(&[("Origin", &ours), ("Sec-Fetch-Site", "same-origin")]),
        400
    );
}

#[test]
fn what_is_too_long_or_not_a_message_is_refused() {
    let waiting = waiting();
    let page = Client::open(&waiting.opening).unwrap();
    assert_eq!(
        page.post("/answer", &vec![b' '; 65 << 10]).unwrap().status,
        413
    );
    assert_eq!(page.post("/answer", b"\x00").unwrap().status, 400);
    assert_eq!(
        page.post("/answer", b"{\"kind\":\"cancelled\",\"step\":1}")
            .unwrap()
            .status,
        409
    );
    let long = format!("token={}", "a".repeat(300));
    let headers = [("Origin", "null"), FORM];
    let reply = client::request(page.port, "POST", "/open", &headers, long.as_bytes()).unwrap();
    assert_eq!(reply.status, 413);
}

#[test]
fn too_many_or_too_long_headers_are_refused() {
    let waiting = waiting();
    let names: Vec<String> = (0..100).map(|number| format!("X-{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(waiting.get("/ceremony.js", &many).status, 431);
    let long = "a".repeat(20 << 10);
    assert_eq!(
        waiting.get("/ceremony.js", &[("X-Long", &long)]).status,
        431
    );
}

#[test]
fn every_answer_carries_the_guards() {
    let waiting = waiting();
    for path in [
        "/",
        "/ceremony.js",
        "/ceremony.css",
        "/open",
        "/nothing",
        "/../secret",
        "/next",
        "/favicon.ico",
    ] {
        let reply = waiting.get(path, &[]);
        for guard in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
             form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; \
             trusted-types 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-embedder-policy: require-corp",
            "cross-origin-resource-policy: same-origin",
            "permissions-policy: publickey-credentials-get=(self)",
        ] {
            assert!(
                reply.head.contains(guard),
                "{path}: {guard}\n{}",
                reply.head
            );
        }
        assert!(!reply.head.contains("access-control"), "{path}");
    }
}

#[test]
fn the_script_posts_no_credential_as_a_whole() {
    let script = include_str!("../page/ceremony.js");
    assert!(!script.contains("toJSON"));
    assert_eq!(script.matches("getClientExtensionResults").count(), 1);
    for sink in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "localStorage",
        "console.",
    ] {
        assert!(!script.contains(sink), "{sink}");
    }
}
