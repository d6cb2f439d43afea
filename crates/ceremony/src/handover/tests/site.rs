//! A server's page in this computer's browser, and which one it may be.

use std::sync::mpsc;

use serde_json::{Value, json};

use super::*;
use crate::ask::Options;
use crate::client::Client;
use crate::session::Session;
use crate::testing::rng;

/// A session whose browser goes to the site and comes back.
fn on_site(page: impl FnOnce(Client, Value) + Send + 'static) -> Result<[u8; 1], CeremonyError> {
    let folder = tempfile::tempdir().unwrap();
    let site = site();
    let options = Options {
        repository: [7; 16],
        backup_label: "a disk",
        folder: folder.path(),
        timeout: Duration::from_secs(20),
        site: Some(&site),
    };
    let (send, receive) = mpsc::channel();
    let mut open = |path: &std::path::Path| send.send(path.to_owned()).map_err(io::Error::other);
    let mut session = Session::begin(&options, &mut open, &mut rng(3)).unwrap();
    let path = receive.recv().unwrap();
    let page = std::thread::spawn(move || {
        let client = Client::open(&path).unwrap();
        let mut seen = None;
        loop {
            if let Some(view) = client.next(seen).unwrap() {
                seen = view["number"].as_u64();
                if view["kind"] == "leave" {
                    return page(client, view);
                }
            }
        }
    });
    let answered = session.authenticate(&ask(&[known(&fake(1))]), &mut rng(4));
    page.join().unwrap();
    let shown = format!("{session:?}");
    assert!(!shown.contains("ceremony#"), "{shown}");
    answered.map(|answer| [answer.credential_id[0]])
}

/// What the site's page answers to a view that leads there.
fn from_site(view: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let (origin, psk, request) = page::request(view["site"].as_str().unwrap()).unwrap();
    assert_eq!(origin, ORIGIN);
    let mut inner = request["view"].clone();
    inner["keys"] = request["keys"].clone();
    let again = page::request(view["site"].as_str().unwrap()).unwrap().1;
    let mut message = fake(1).get(&inner, &Client::on_site(ORIGIN, psk));
    change(&mut message);
    page::handed(&again, &request["keys"], &message, &mut rng(8)).unwrap()
}

#[test]
fn the_browser_goes_to_the_site_and_brings_the_answer_back_once() {
    let answered = on_site(|client, view| {
        let handed = from_site(&view, |_| ());
        assert_eq!(client.answer(&handed).unwrap(), 204);
        assert_eq!(client.answer(&handed).unwrap(), 409);
    });
    assert_eq!(answered.unwrap(), [1]);
}

#[test]
fn an_answer_that_was_not_sealed_on_the_site_is_refused() {
    let error = on_site(|client, view| {
        let (_, psk, request) = page::request(view["site"].as_str().unwrap()).unwrap();
        let mut inner = request["view"].clone();
        inner["keys"] = request["keys"].clone();
        let open = fake(1).get(&inner, &Client::on_site(ORIGIN, psk));
        assert_eq!(client.answer(&open).unwrap(), 204);
    });
    assert!(
        matches!(error, Err(CeremonyError::BadAnswer(BadAnswer::Sealing))),
        "{error:?}"
    );
    let error = on_site(|client, view| {
        let handed = from_site(&view, |message| message["step"] = json!(77));
        let mut renamed = handed.clone();
        renamed["step"] = view["number"].clone();
        assert_eq!(client.answer(&renamed).unwrap(), 204);
    });
    assert!(
        matches!(error, Err(CeremonyError::BadAnswer(BadAnswer::Sealing))),
        "{error:?}"
    );
}

#[test]
fn the_page_of_this_computer_still_takes_a_cancel() {
    let error = on_site(|client, view| {
        let cancel = json!({"kind": "cancelled", "step": view["number"]});
        assert_eq!(client.answer(&cancel).unwrap(), 204);
    });
    assert!(matches!(error, Err(CeremonyError::Cancelled)), "{error:?}");
}

#[test]
fn a_site_is_a_domain_and_a_page_that_may_ask_for_it() {
    for (rp_id, page) in [
        ("example.org", "https://example.org/ceremony"),
        ("example.org", "https://vault.example.org:8443/ceremony"),
        ("localhost", "http://localhost:8750/ceremony"),
    ] {
        let site = Site::new(rp_id, page).unwrap();
        assert_eq!(
            (site.rp_id(), format!("{}/ceremony", site.origin()).as_str()),
            (rp_id, page)
        );
    }
    for (rp_id, page) in [
        ("example.org", "http://example.org/ceremony"),
        ("example.org", "https://example.com/ceremony"),
        ("example.org", "https://badexample.org/ceremony"),
        ("vault.example.org", "https://example.org/ceremony"),
        ("example.org", "https://example.org/"),
        ("example.org", "https://example.org/a/ceremony"),
        ("example.org", "https://user@example.org/ceremony"),
        ("example.org", "https://example.org?/ceremony"),
        ("example.org", "https://example.org#/ceremony"),
        ("127.0.0.1", "http://127.0.0.1:8750/ceremony"),
        ("localhost", "http://localhost.example.org/ceremony"),
        ("", "https://example.org/ceremony"),
        ("Example.org", "https://example.org/ceremony"),
        ("example.org\"", "https://example.org\"/ceremony"),
        ("example.org", "javascript:alert(1)//example.org/ceremony"),
    ] {
        assert_eq!(Site::new(rp_id, page), None, "{rp_id} {page}");
    }
}
