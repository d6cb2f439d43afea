//! The relay of hand-overs and the page of passkeys that open a backup, over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heirloom_vault::{Clock, Site, Tenant, Tenants};
use heirloom_vault_api::*;

use crate::client::Client;
use crate::running::{contains, start, walk};

const MINUTE: u64 = 60_000;

fn bytes<const MAX: usize>(byte: u8, count: usize) -> Bytes<MAX> {
    Bytes::new(vec![byte; count]).unwrap()
}

fn begin(client: &Client) -> HandoverStarted {
    let keys = HandoverKeys {
        x_wing: Fixed([3; 1216]),
        x25519: Fixed([4; 32]),
    };
    let answer = client
        .post("/v1/handovers", &HandoverStart { keys })
        .unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn ask(client: &Client, started: &HandoverStarted, number: u64) -> u16 {
    let ask = HandoverAsk {
        session: started.session,
        ticket: started.ticket,
        number,
        request: bytes(0xA5, 2064),
    };
    client.post("/v1/handovers/ask", &ask).unwrap().status
}

fn look(client: &Client, session: Fixed<16>) -> Result<HandoverView, Code> {
    let answer = client
        .post("/v1/handovers/look", &HandoverLook { session, after: 0 })
        .unwrap();
    if answer.status == 200 {
        Ok(answer.json())
    } else {
        Err(answer.problem().code)
    }
}

fn say(client: &Client, session: Fixed<16>, number: u64) -> u16 {
    let answer = HandoverAnswer {
        session,
        number,
        answer: HandoverSealed {
            suite: 25722,
            encapsulated: bytes(0xB6, 1120),
            sealed: bytes(0xC7, 4112),
        },
    };
    client.post("/v1/handovers/answer", &answer).unwrap().status
}

#[test]
fn a_page_that_is_signed_in_nowhere_answers_a_program_once() {
    let running = start(|_| ());
    let (program, page) = (running.signed_in(), running.client());
    let started = begin(&program);
    assert_eq!(started.code.len(), 9);
    assert_eq!(
        say(&page, started.session, 1),
        409,
        "before anything was asked"
    );
    assert_eq!(ask(&program, &started, 1), 200);
    let view = look(&page, started.session).unwrap();
    assert_eq!((view.number, view.request), (1, Some(bytes(0xA5, 2064))));
    assert_eq!(say(&page, started.session, 1), 200);
    assert_eq!(say(&page, started.session, 1), 409, "a second answer");
    let wait = HandoverWait {
        session: started.session,
        ticket: started.ticket,
    };
    let state: HandoverState = program.post("/v1/handovers/wait", &wait).unwrap().json();
    assert_eq!((state.seen, state.answer.is_some()), (1, true));
    let end = HandoverEnd {
        session: started.session,
        ticket: started.ticket,
    };
    assert_eq!(program.post("/v1/handovers/end", &end).unwrap().status, 200);
    assert_eq!(look(&page, started.session), Err(Code::NotFound));
}

#[test]
fn strangers_begin_nothing_and_what_is_relayed_is_stored_nowhere() {
    let running = start(|_| ());
    let stranger = running.client();
    let keys = HandoverKeys {
        x_wing: Fixed([3; 1216]),
        x25519: Fixed([4; 32]),
    };
    let refused = stranger
        .post("/v1/handovers", &HandoverStart { keys })
        .unwrap();
    assert_eq!(refused.problem().code, Code::SignInNeeded);
    assert_eq!(
        stranger.get("/v1/ceremony").problem().code,
        Code::SignInNeeded
    );
    assert_eq!(look(&stranger, Fixed([1; 16])), Err(Code::NotFound));

    let program = running.signed_in();
    let started = begin(&program);
    assert_eq!(ask(&program, &started, 1), 200);
    assert_eq!(say(&stranger, started.session, 1), 200);
    let lines = running.lines.clone();
    let folder = running.stop();
    let session = started.session.to_text();
    for file in walk(folder.path()) {
        let held = std::fs::read(&file).unwrap();
        for part in [
            &[0xA5_u8; 64][..],
            &[0xC7; 64],
            started.session.as_bytes(),
            session.as_bytes(),
        ] {
            assert!(!contains(&held, part), "{}", file.display());
        }
    }
    for line in lines.lock().unwrap().iter() {
        assert!(
            !line.contains(&session) && !line.contains(&started.code),
            "{line}"
        );
    }
}

#[test]
fn what_is_too_long_or_not_whole_is_refused() {
    let running = start(|_| ());
    let client = running.client();
    let send = |path: &str, body: &str| {
        let kind = [("content-type", "application/json")];
        client
            .send("POST", path, &kind, body.as_bytes())
            .unwrap()
            .status
    };
    let long = format!(r#"{{"session":"{}"}}"#, "A".repeat(MAX_HANDOVER_BYTES));
    assert_eq!(send("/v1/handovers/answer", &long), 413);
    assert_eq!(send("/v1/handovers/ask", &long), 413);
    assert_eq!(send("/v1/handovers/look", &long), 413);
    let id = Fixed([1; 16]).to_text();
    let sealed = |count: usize| {
        let sealed = "A".repeat(count);
        format!(
            r#"{{"session":"{id}","number":1,"answer":{{"suite":32,"encapsulated":"AAAA","sealed":"{sealed}"}}}}"#
        )
    };
    assert_eq!(
        send("/v1/handovers/answer", &sealed(21_844)),
        404,
        "it fits"
    );
    assert_eq!(
        send("/v1/handovers/answer", &sealed(21_848)),
        400,
        "it does not"
    );
    assert_eq!(send("/v1/handovers/answer", &sealed(0)), 400);
}

#[derive(Debug)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn a_code_is_found_for_ten_minutes_and_not_by_trying() {
    let hand = Arc::new(Hand(AtomicU64::new(1_800_000_000_000)));
    let clock = Arc::clone(&hand);
    let running = start(move |config| {
        config.clock = clock;
        config.limits.guesses_per_minute = 30;
    });
    let program = running.signed_in();
    let started = begin(&program);
    let find = |code: &str| {
        let code = code.to_owned();
        program
            .post("/v1/handovers/find", &HandoverFind { code })
            .unwrap()
    };
    assert_eq!(find(&started.code.to_lowercase()).status, 200);
    let found = String::from_utf8(find(&started.code).body).unwrap();
    assert_eq!(found.trim(), "{}", "it tells nothing else");
    hand.0.fetch_add(10 * MINUTE, Ordering::SeqCst);
    assert_eq!(find(&started.code).problem().code, Code::NotFound);
    assert_eq!(look(&program, started.session), Err(Code::NotFound));
    let slowed = (0..100).any(|_| find("BCDF-GHJK").status == 429);
    assert!(slowed);
}

#[test]
fn the_page_is_strict_and_its_site_is_that_of_the_account() {
    let running = start(|_| ());
    let site: CeremonySite = running.signed_in().get("/v1/ceremony").json();
    let port = running.address.port();
    assert_eq!(site.rp_id, "localhost");
    assert_eq!(site.page, format!("http://localhost:{port}/ceremony"));
    let client = running.client();
    for (path, kind) in [
        ("/ceremony", "text/html; charset=utf-8"),
        ("/ceremony.js", "text/javascript; charset=utf-8"),
        ("/handover.js", "text/javascript; charset=utf-8"),
        ("/letin.js", "text/javascript; charset=utf-8"),
        ("/ceremony.css", "text/css; charset=utf-8"),
    ] {
        let answer = client.get(path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(kind)),
            "{path}"
        );
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        let text = String::from_utf8(answer.body).unwrap();
        assert!(
            !text.contains("https://"),
            "nothing comes from elsewhere: {path}"
        );
    }
}

#[test]
fn where_a_tenant_has_no_site_nothing_is_handed_over() {
    let bare = Tenant {
        name: TenantName::new("bare").unwrap(),
        site: None::<Site>,
        messenger: None,
        quota_bytes: None,
    };
    let running = start(|config| config.tenants = Tenants::new(vec![bare]).unwrap());
    let client = running.signed_in();
    assert_eq!(client.get("/v1/ceremony").problem().code, Code::NotFound);
    let keys = HandoverKeys {
        x_wing: Fixed([3; 1216]),
        x25519: Fixed([4; 32]),
    };
    let refused = client
        .post("/v1/handovers", &HandoverStart { keys })
        .unwrap();
    assert_eq!(refused.problem().code, Code::NotFound);
}
