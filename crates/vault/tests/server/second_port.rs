//! The second port, modes of files, who asks behind a web server, and limits.

use heirloom_vault::{Entry, Limits, Log, Proxies, RolloutConfig};
use heirloom_vault_api::*;
use secrecy::SecretBox;
use std::sync::{Arc, Mutex};

use crate::client::{Answer, Client};
use crate::running::{Running, start};

fn with_operator(change: impl FnOnce(&mut heirloom_vault::Config)) -> (Running, Client) {
    let server = start(|config| {
        config.admin_listen = Some("127.0.0.1:0".parse().unwrap());
        change(config);
    });
    let operator = Client::new(server.admin_address.unwrap());
    (server, operator)
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

#[test]
fn the_operators_port_says_whether_it_lives_and_can_answer_and_nothing_of_v1() {
    let (server, operator) = with_operator(|_| ());
    assert_eq!(operator.get("/healthz").status, 200);
    let ready = operator.get("/readyz");
    assert_eq!(ready.status, 200);
    assert_eq!(
        text(&ready),
        r#"{"ready":true,"database":true,"keys":true,"objects":true,"rollout":true}"#
    );
    assert_eq!(operator.get("/v1/vault").status, 404);
    // Nor the other way.
    assert_eq!(server.client().get("/metrics").status, 404);
    server.stop();
}

#[test]
#[cfg(unix)]
fn a_vault_whose_objects_are_gone_is_not_ready() {
    let (server, operator) = with_operator(|_| ());
    std::fs::rename(
        server.folder.path().join("data/blobs"),
        server.folder.path().join("data/gone"),
    )
    .unwrap();
    let ready = operator.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(text(&ready).contains(r#""objects":false"#));
    assert!(text(&operator.get("/metrics")).contains("heirloom_vault_ready 0.0\n"));
    server.stop();
}

#[test]
fn rules_that_cannot_be_taken_are_told_and_make_no_server_unready() {
    let operator_key = OperatorKey::new(SecretBox::new(Box::new([7; 32])));
    let rules = |version| {
        let rules = b"{\"flags\": {}}";
        operator_key.stamp(version, 1, rules).file(rules)
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offers.signed");
    std::fs::write(&file, rules(7)).unwrap();
    let (server, operator) = with_operator(|config| {
        config.rollout = Some(RolloutConfig {
            file: file.clone(),
            operator: operator_key.public(),
            region: None,
        });
    });
    // The file is looked at every second.
    let until = |is_so: &dyn Fn(&serde_json::Value) -> bool| {
        for _ in 0..6000 {
            let ready = operator.get("/readyz");
            let found: serde_json::Value = ready.json();
            assert_eq!((ready.status, &found["ready"]), (200, &true.into()));
            if is_so(&found) {
                return found;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the change was not seen");
    };
    let says = |found: &serde_json::Value, words: &str| {
        let fault = found["rollout_fault"].as_str();
        fault.is_some_and(|fault| fault.starts_with(words))
    };
    let found = until(&|found| found["rollout"] == true);
    assert!(found.get("rollout_fault").is_none(), "{found}");
    std::fs::write(&file, b"{}").unwrap();
    let found = until(&|found| says(found, "the file is not signed"));
    assert_eq!(found["rollout"], false);
    assert_eq!(found["rollout_version"], 7);
    std::fs::remove_file(&file).unwrap();
    until(&|found| says(found, "the file cannot be read"));
    std::fs::write(&file, rules(8)).unwrap();
    until(&|found| found["rollout"] == true);
    server.stop();
}

#[test]
fn numbers_tell_of_routes_guesses_and_bytes_and_of_nobody() {
    let (server, operator) = with_operator(|_| ());
    let client = server.signed_in();
    let account: Account = client.get("/v1/account").json();
    client
        .send("PUT", "/v1/blobs/canary-name", &[], &[7; 1000])
        .unwrap();
    client.get("/v1/blobs/canary-name");
    client.get("/v1/canary-of-no-route");
    client.send("CANARY", "/v1/vault", &[], b"").unwrap();
    let text = text(&operator.get("/metrics"));
    for line in [
        "heirloom_vault_requests_total{method=\"PUT\",route=\"/v1/blobs/{*name}\",status=\"201\"} 1",
        "heirloom_vault_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "heirloom_vault_requests_total{method=\"other\",route=\"/v1/vault\",status=\"405\"} 1",
        "heirloom_vault_blob_bytes_total{direction=\"in\"} 1000",
        "heirloom_vault_blob_bytes_total{direction=\"out\"} 1000",
        "heirloom_vault_guesses_total{outcome=\"counted\"} 0",
        "heirloom_vault_requests_in_flight 0",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
    }
    let token = client.token.as_ref().unwrap().0.to_text();
    for secret in [
        "canary",
        "CANARY",
        "127.0.0.1",
        &account.account.to_text(),
        &token,
    ] {
        assert!(!text.contains(secret), "{secret}\n{text}");
    }
    server.stop();
}

#[test]
fn lines_of_a_whole_session_lead_to_nobody() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&lines);
    let (server, _) = with_operator(|config| {
        config.log = Log::structured(move |entry: &Entry<'_>| {
            written.lock().unwrap().push(entry.to_json(1));
        });
        config.proxies = Proxies {
            trusted: vec!["127.0.0.1".parse().unwrap()],
            ..Proxies::default()
        };
    });
    let client = server.signed_in();
    let account: Account = client.get("/v1/account").json();
    let asked = [("x-forwarded-for", "198.51.100.77")];
    client
        .send("PUT", "/v1/blobs/canary-name", &asked, b"canary-bytes")
        .unwrap();
    client
        .send("GET", "/v1/blobs/canary-name?canary=1", &asked, b"")
        .unwrap();
    let record = Fixed([0xA5; 16]);
    client
        .post("/v1/records/status", &StatusRead { record })
        .unwrap();
    let invitation: Invitation = client
        .send("POST", "/v1/invitations", &[], b"")
        .unwrap()
        .json();
    client.get("/v1/canary");
    // Something that the server complains of.
    for file in crate::running::walk(&server.folder.path().join("data/blobs")) {
        std::fs::remove_file(file).unwrap();
    }
    assert_eq!(client.get("/v1/blobs/canary-name").status, 503);
    let token = client.token.as_ref().unwrap().0.to_text();
    server.stop();
    let all = lines.lock().unwrap().join("\n");
    assert!(lines.lock().unwrap().len() > 6, "{all}");
    for line in lines.lock().unwrap().iter() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["event"] == "request" || line["event"] == "server");
    }
    assert!(all.contains(r#""event":"server""#), "{all}");
    for secret in [
        "canary",
        "198.51.100.77",
        "127.0.0.1",
        &account.account.to_text(),
        &record.to_text(),
        &token,
        &invitation.invite.0.to_text(),
    ] {
        assert!(!all.contains(secret), "{secret}\n{all}");
    }
}

#[test]
fn an_answer_says_how_much_is_left_and_a_refusal_how_long_to_wait() {
    let (server, operator) = with_operator(|config| {
        config.limits = Limits {
            guesses_per_minute: 1_000,
            requests_per_second: 2,
        };
    });
    let client = server.client();
    let first = client.get("/v1/vault");
    assert_eq!(
        first.header("ratelimit-policy"),
        Some("\"address\";q=2;w=1")
    );
    assert_eq!(first.header("ratelimit"), Some("\"address\";r=1;t=1"));
    let refused = std::iter::repeat_with(|| client.get("/v1/vault"))
        .take(200)
        .find(|answer| answer.status == 429)
        .unwrap();
    assert_eq!(refused.problem().code, Code::TooManyRequests);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit"), Some("\"address\";r=0;t=1"));
    assert!(text(&operator.get("/metrics")).contains("rate_limited_total{by=\"address\"}"));
    server.stop();
}

#[test]
fn an_account_that_asks_too_much_waits_and_another_does_not() {
    let (server, _) = with_operator(|config| config.account_requests_per_second = 1);
    let (one, other) = (server.signed_in(), server.signed_in());
    let refused = std::iter::repeat_with(|| one.get("/v1/account"))
        .take(200)
        .find(|answer| answer.status == 429)
        .unwrap();
    assert_eq!(refused.problem().code, Code::TooManyRequests);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(other.get("/v1/account").status, 200);
    server.stop();
}

#[test]
fn behind_a_web_server_each_client_has_its_own_limit_and_nobody_is_local() {
    let (server, _) = with_operator(|config| {
        config.limits = Limits {
            guesses_per_minute: 2,
            requests_per_second: 1_000_000,
        };
        config.proxies.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let client = server.client();
    let sign_in = |from: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("x-forwarded-for", from),
        ];
        client
            .send("POST", "/v1/accounts", &headers, b"{\"invite\":null}")
            .unwrap()
            .problem()
            .code
    };
    // The first account on loopback is free elsewhere.
    for _ in 0..2 {
        assert_eq!(sign_in("198.51.100.1"), Code::SignInNeeded);
    }
    assert_eq!(sign_in("198.51.100.1"), Code::TooManyRequests);
    assert_eq!(sign_in("6.6.6.6, 198.51.100.1"), Code::TooManyRequests);
    assert_eq!(sign_in("198.51.100.2"), Code::SignInNeeded);
    server.stop();
    // Whoever is not trusted names nobody else.
    let (server, _) = with_operator(|config| {
        config.limits.guesses_per_minute = 1;
        config.first_account_is_free = false;
        config.proxies.trusted = vec!["198.51.100.9".parse().unwrap()];
    });
    let client = server.client();
    let mut codes = Vec::new();
    for number in 0..2 {
        let from = format!("198.51.100.{number}");
        let headers = [
            ("content-type", "application/json"),
            ("x-forwarded-for", from.as_str()),
        ];
        let answer = client
            .send("POST", "/v1/accounts", &headers, b"{\"invite\":null}")
            .unwrap();
        codes.push(answer.problem().code);
    }
    assert_eq!(codes, [Code::SignInNeeded, Code::TooManyRequests]);
    server.stop();
}

#[test]
#[cfg(unix)]
fn nobody_else_can_read_what_the_server_writes() {
    use std::os::unix::fs::PermissionsExt as _;
    let (server, _) = with_operator(|_| ());
    server.signed_in();
    let data = server.folder.path().join("data");
    let mode = |name: &str| {
        let data = std::fs::metadata(data.join(name)).unwrap();
        data.permissions().mode() & 0o777
    };
    assert_eq!(mode("."), 0o700);
    for name in [
        "vault.sqlite",
        "vault.sqlite-wal",
        "watermark",
        "server.keys",
    ] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    server.stop();
}
