//! Pages that come and go.

use super::*;

#[test]
fn an_old_browser_is_named() {
    let mut opened = opened(|mut page| {
        let view = page.step();
        page.say(&json!({"kind": "lacks", "step": view["number"], "what": "passkeys"}));
    });
    let known = [Fake::new(1).known()];
    let error = opened
        .session
        .authenticate(&ask(&known), &mut rng(4))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "this browser cannot use passkeys here: it has no passkeys"
    );
}

#[test]
fn passkeys_of_another_relying_party_are_not_asked() {
    let mut opened = opened(|_| ());
    let known = [Known {
        rp_id: "vault.example".to_owned(),
        ..Fake::new(1).known()
    }];
    for candidates in [&known[..], &[]] {
        let error = opened
            .session
            .authenticate(&ask(candidates), &mut rng(4))
            .unwrap_err();
        assert!(matches!(error, CeremonyError::NoCandidate));
    }
}

#[test]
fn nobody_there_is_a_time_out() {
    let mut opened = opened_for([7; 16], Duration::from_millis(300), |mut page| {
        page.step();
        // It stays, and says nothing.
        let _ = page.client.next(page.seen);
    });
    let known = [Fake::new(1).known()];
    let error = opened
        .session
        .authenticate(&ask(&known), &mut rng(4))
        .unwrap_err();
    assert_eq!(error.to_string(), "nobody answered in the browser in time");
}

#[test]
fn a_page_that_says_goodbye_is_closed_before_the_time_is_over() {
    let mut opened = opened(|mut page| {
        page.step();
        assert_eq!(page.client.post("/leaving", b"{}").unwrap().status, 204);
    });
    let known = [Fake::new(1).known()];
    let error = opened
        .session
        .authenticate(&ask(&known), &mut rng(4))
        .unwrap_err();
    assert!(matches!(error, CeremonyError::PageClosed), "{error:?}");
}

#[test]
fn a_reloaded_page_goes_on_with_the_step() {
    let fake = Fake::new(1);
    let known = [fake.known()];
    let mut opened = opened(move |mut page| {
        page.step();
        page.client.post("/leaving", b"{}").unwrap();
        page.seen = None;
        page.get(&fake);
    });
    opened
        .session
        .authenticate(&ask(&known), &mut rng(4))
        .unwrap();
}

#[test]
fn without_a_browser_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        repository: [7; 16],
        backup_label: "a disk",
        folder: folder.path(),
        timeout: TIME,
        site: None,
    };
    let mut open = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let error = Session::begin(&options, &mut open, &mut rng(3)).unwrap_err();
    assert_eq!(error.to_string(), "no browser could be opened");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_dropped_session_says_so_and_removes_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        repository: [7; 16],
        backup_label: "a disk",
        folder: folder.path(),
        timeout: TIME,
        site: None,
    };
    let session = Session::begin(&options, &mut |_: &Path| Ok(()), &mut rng(3)).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    drop(session);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nothing_secret_shows_in_debug() {
    let opened = opened(|_| ());
    let shown = format!("{:?}", opened.session);
    assert!(!shown.contains(opened.session.psk.exposed_hex().as_str()));
    assert!(shown.contains("REDACTED"), "{shown}");
}
