//! Signing in with a passkey on another device: a program that is not signed in, the relay, and the page, over HTTP.

use heirloom_vault::{Site, Tenant, Tenants};
use heirloom_vault_api::*;

use crate::client::{Answer, Client};
use crate::running::{contains, start, walk};
use crate::signin::{VERIFIER, account, finish, options, saved};

const FINISH: &str = "/v1/signin/finish";

fn keys() -> HandoverKeys {
    HandoverKeys {
        x_wing: Fixed([3; 1216]),
        x25519: Fixed([4; 32]),
    }
}

fn asked(client: &Client, name: &str) -> Answer {
    let start = ElsewhereStart {
        tenant: None,
        challenge: VERIFIER.challenge(),
        name: DeviceName::new(name).unwrap(),
        keys: keys(),
    };
    client.post("/v1/signin/elsewhere", &start).unwrap()
}

fn begun(client: &Client, name: &str) -> ElsewhereStarted {
    let answer = asked(client, name);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn look(client: &Client, session: Fixed<16>) -> Answer {
    client
        .post("/v1/handovers/look", &HandoverLook { session, after: 0 })
        .unwrap()
}

#[test]
fn a_passkey_on_another_device_lets_a_computer_in_under_the_name_that_its_page_showed() {
    let server = start(|_| ());
    let owner = server.signed_in();
    let passkey = saved(&owner, 7);
    let (mut program, page) = (server.client(), server.client());
    let ElsewhereStarted {
        session,
        site,
        handover,
    } = begun(&program, "Server in the cellar");
    assert_eq!(site.rp_id, "localhost");
    assert!(site.page.ends_with("/ceremony"), "{site:?}");
    let view: HandoverView = look(&page, handover.session).json();
    assert_eq!((view.keys, view.sign_in), (keys(), Some(session)));
    let shown = options(&page, session);
    assert_eq!(
        shown.device.as_ref().map(DeviceName::as_str),
        Some("Server in the cellar")
    );
    let answer = page.post(
        "/v1/signin/answer",
        &passkey.sign(session, &shown.challenge),
    );
    let PageCode { code } = answer.unwrap().json();
    // It says that it is called `Phone` now.
    let answer = finish(&program, FINISH, session, code);
    assert_eq!(answer.status, 201, "{answer:?}");
    let SignedIn { account: id, token } = answer.json();
    assert_eq!(id, account(&owner));
    program.token = Some(token);
    let DeviceList { devices } = owner.get("/v1/devices").json();
    let new = devices.iter().find(|device| !device.present).unwrap();
    assert_eq!(
        (new.name.as_ref().map(DeviceName::as_str), new.by),
        (Some("Server in the cellar"), SignedInBy::PasskeyElsewhere)
    );
    let again = finish(&program, FINISH, session, code);
    assert_eq!(again.problem().code, Code::NotLetIn, "good once");
    let path = format!("/v1/devices/{}", new.device.to_text());
    assert_eq!(owner.send("DELETE", &path, &[], b"").unwrap().status, 200);
    assert_eq!(
        program.get("/v1/account").problem().code,
        Code::SignedOut,
        "whoever was let in by mistake is out at once"
    );
}

#[test]
fn what_the_page_learns_signs_nobody_in_without_what_the_program_knows() {
    let server = start(|_| ());
    let passkey = saved(&server.signed_in(), 7);
    let client = server.client();
    let ElsewhereStarted { session, .. } = begun(&client, "Laptop");
    let challenge = options(&client, session).challenge;
    let answer = client.post("/v1/signin/answer", &passkey.sign(session, &challenge));
    let PageCode { code } = answer.unwrap().json();
    let other = SignInFinish {
        session,
        code,
        verifier: Verifier(Fixed([0xD6; 32])),
        name: None,
    };
    let refused = client.post(FINISH, &other).unwrap();
    assert_eq!(refused.problem().code, Code::NotLetIn);
    // And that one try was the only one.
    let late = finish(&client, FINISH, session, code);
    assert_eq!(late.problem().code, Code::NotLetIn);
}

#[test]
fn a_program_that_is_not_signed_in_relays_for_its_sign_in_and_asks_nothing_of_an_account() {
    let server = start(|_| ());
    let stranger = server.client();
    let refused = stranger
        .post("/v1/handovers", &HandoverStart { keys: keys() })
        .unwrap();
    assert_eq!(refused.problem().code, Code::SignInNeeded);
    let ElsewhereStarted {
        session, handover, ..
    } = begun(&stranger, "Laptop");
    for path in ["/v1/account", "/v1/devices", "/v1/ceremony"] {
        assert_eq!(stranger.get(path).problem().code, Code::SignInNeeded);
    }
    let HandoverStarted {
        session: relayed,
        ticket,
        code,
    } = handover;
    let ask = HandoverAsk {
        session: relayed,
        ticket,
        number: 1,
        request: Bytes::new(vec![0xA5; 2064]).unwrap(),
    };
    assert_eq!(
        stranger.post("/v1/handovers/ask", &ask).unwrap().status,
        200
    );
    let found = stranger.post("/v1/handovers/find", &HandoverFind { code });
    assert_eq!(found.unwrap().status, 200);
    let end = HandoverEnd {
        session: relayed,
        ticket,
    };
    assert_eq!(
        stranger.post("/v1/handovers/end", &end).unwrap().status,
        200
    );
    assert_eq!(look(&stranger, relayed).problem().code, Code::NotFound);
    let lines = server.lines.clone();
    for file in walk(server.stop().path()) {
        let held = std::fs::read(&file).unwrap();
        for part in [&session.as_bytes()[..], relayed.as_bytes(), &[0xA5; 64]] {
            assert!(!contains(&held, part), "{}", file.display());
        }
    }
    for line in lines.lock().unwrap().iter() {
        assert!(
            !line.contains(&session.to_text()) && !line.contains("Laptop"),
            "{line}"
        );
    }
}

#[test]
fn an_address_that_begins_many_is_slowed_down() {
    let server = start(|config| config.limits.guesses_per_minute = 20);
    let owner = server.signed_in();
    let started: HandoverStarted = owner
        .post("/v1/handovers", &HandoverStart { keys: keys() })
        .unwrap()
        .json();
    let stranger = server.client();
    let slowed = (0..100)
        .map(|_| asked(&stranger, "Laptop"))
        .find(|answer| answer.status == 429)
        .unwrap();
    assert!(slowed.problem().retry_after_s.is_some(), "{slowed:?}");
    assert_eq!(look(&owner, started.session).status, 200);
}

#[test]
fn who_has_no_name_or_no_page_begins_nothing() {
    let server = start(|_| ());
    let text = |name: &str| {
        let keys = serde_json::to_string(&keys()).unwrap();
        let challenge = VERIFIER.challenge().to_text();
        format!(r#"{{"tenant":null,"challenge":"{challenge}","name":{name},"keys":{keys}}}"#)
    };
    let send = |name: &str| {
        let kind = [("content-type", "application/json")];
        let answer =
            server
                .client()
                .send("POST", "/v1/signin/elsewhere", &kind, text(name).as_bytes());
        answer.unwrap().status
    };
    assert_eq!(send("\"Laptop\""), 201);
    for name in ["null", "\"\"", "\" \"", "\"a\\u202eb\"", "\"a\\nb\""] {
        assert_eq!(send(name), 400, "{name}");
    }
    assert_eq!(send(&format!("\"{}\"", "a".repeat(81))), 400);

    let bare = Tenant {
        name: TenantName::new("bare").unwrap(),
        site: None::<Site>,
        messenger: None,
        quota_bytes: None,
    };
    let server = start(|config| config.tenants = Tenants::new(vec![bare]).unwrap());
    let refused = asked(&server.client(), "Laptop");
    assert_eq!(refused.problem().code, Code::NotFound);
}
