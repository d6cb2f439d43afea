//! Signing in on another device's page.

use serde_json::{Value, json};

use super::relay::{Device, Post};
use super::*;
use crate::session::SignIn;
use crate::testing::rng;

const SIGN_IN: [u8; 16] = [0x51; 16];
const CODE: [u8; 16] = [0xC0; 16];

fn begun(post: &Post, timeout: Duration) -> (SignIn, Link) {
    let mut begin = |keys: PublicKeys<'_>| {
        post.with(|held| held.keys = [keys.x_wing.to_vec(), keys.x25519.to_vec()]);
        Ok(BegunSignIn {
            site: site(),
            sign_in: SIGN_IN,
            begun: Begun {
                relay: Box::new(post.clone()),
                session: SESSION,
                code: "BCDF-GHJK".to_owned(),
            },
        })
    };
    SignIn::begin(timeout, &mut begin, &mut rng(3)).unwrap()
}

/// What a program hears of a page that does as `device` says, and what the relay held in the end.
fn asked(
    device: impl FnOnce(Device) + Send + 'static,
) -> (Result<[u8; 16], CeremonyError>, Post, Link) {
    let post = Post::default();
    let (mut sign_in, link) = begun(&post, Duration::from_secs(20));
    let page = Device::new(&post, &link);
    let thread = std::thread::spawn(move || device(page));
    let heard = sign_in.ask();
    thread.join().unwrap();
    drop(sign_in);
    (heard, post, link)
}

fn signed(view: &Value) -> Value {
    json!({"kind": "signedin", "step": view["number"], "code": bytes::text(&CODE)})
}

/// The last view that the relay was given.
fn last(post: &Post, link: &Link) -> Value {
    let parts: Vec<_> = link.expose().split('.').collect();
    let hash = bytes::read(parts[parts.len() - 2], 32).unwrap();
    let short = bytes::read(parts[parts.len() - 1], 16).unwrap();
    let (number, request) = post.with(|held| held.request.clone());
    let hash = hash.try_into().unwrap();
    page::open_request(&short, &SESSION, &hash, number, &request).unwrap()
}

#[test]
fn the_page_is_told_of_its_sign_in_and_gives_the_code_of_it() {
    let (heard, post, link) = asked(|mut device| {
        let view = device.step();
        assert_eq!(view["kind"], "signin");
        assert_eq!(view["signIn"], bytes::text(&SIGN_IN));
        // The program may be a stranger's: it has no words on the page.
        for (words, none) in [
            ("title", json!("")),
            ("text", json!([])),
            ("note", json!(null)),
        ] {
            assert_eq!(view[words], none);
        }
        device.say(&view, &signed(&view));
    });
    assert_eq!(heard.unwrap(), CODE);
    let end = last(&post, &link);
    assert_eq!((&end["kind"], &end["good"]), (&json!("end"), &json!(false)));
    assert!(post.with(|held| held.is_over));
}

#[test]
fn the_page_is_told_when_the_program_is_signed_in() {
    let post = Post::default();
    let (mut sign_in, link) = begun(&post, Duration::from_secs(20));
    let mut device = Device::new(&post, &link);
    let thread = std::thread::spawn(move || {
        let view = device.step();
        device.say(&view, &signed(&view));
    });
    sign_in.ask().unwrap();
    thread.join().unwrap();
    sign_in.end_well();
    let end = last(&post, &link);
    assert_eq!((&end["kind"], &end["good"]), (&json!("end"), &json!(true)));
    assert!(
        !post.with(|held| held.is_over),
        "it is left for another page that looks"
    );
}

#[test]
fn a_relay_sees_neither_the_sign_in_nor_its_code() {
    let (heard, post, link) = asked(|mut device| {
        let view = device.step();
        device.say(&view, &signed(&view));
    });
    heard.unwrap();
    let short = bytes::read(link.expose().rsplit_once('.').unwrap().1, 16).unwrap();
    let all = post.with(|held| held.all.clone());
    let holds = |part: &[u8]| all.windows(part.len()).any(|window| window == part);
    assert!(holds(&all[100..120]), "the search finds what is there");
    for secret in [SIGN_IN.as_slice(), &CODE, &short] {
        let text = bytes::text(secret);
        assert!(!holds(secret) && !holds(text.as_bytes()), "{text}");
    }
    assert!(!holds(b"signedin") && !holds(b"signIn"));
}

#[test]
fn a_code_without_the_psk_of_the_link_or_to_other_keys_is_refused() {
    for other_keys in [false, true] {
        let (heard, post, _) = asked(move |mut device| {
            let mut view = device.step();
            let mut psk = page::psk(&[0; 16]);
            if other_keys {
                let other = StepKeys::generate(&mut rng(66));
                let [x_wing, x25519] = other.public().map(bytes::text);
                view["keys"] = json!({"xWing": x_wing, "x25519": x25519});
                psk = device.psk();
            }
            let sealed = page::sealed(&psk, &view["keys"], &signed(&view), &mut rng(8));
            device.post.answer(sealed.unwrap());
        });
        let refused = matches!(heard, Err(CeremonyError::BadAnswer(BadAnswer::Sealing)));
        assert!(refused, "{heard:?}");
        assert!(post.with(|held| held.is_over), "the relay is told");
    }
}

#[test]
fn what_is_no_code_signs_nobody_in() {
    let said = |change: fn(&mut Value)| {
        let (heard, post, _) = asked(move |mut device| {
            let view = device.step();
            let mut message = signed(&view);
            change(&mut message);
            device.say(&view, &message);
        });
        assert!(post.with(|held| held.is_over), "the relay is told");
        heard.unwrap_err()
    };
    let short = said(|message| message["code"] = json!("AAAA"));
    assert!(matches!(
        short,
        CeremonyError::BadAnswer(BadAnswer::Malformed)
    ));
    let more = said(|message| message["token"] = json!("AAAA"));
    assert!(matches!(
        more,
        CeremonyError::BadAnswer(BadAnswer::Malformed)
    ));
    let cancelled = said(|message| *message = json!({"kind": "cancelled", "step": 1}));
    assert!(matches!(cancelled, CeremonyError::Cancelled));
    let refused =
        said(|message| *message = json!({"kind": "failed", "step": 1, "name": "not-let-in"}));
    assert_eq!(refused.to_string(), "this passkey does not sign in there");
    let lacks = said(|message| *message = json!({"kind": "lacks", "step": 1, "what": "passkeys"}));
    assert!(matches!(lacks, CeremonyError::OldBrowser(_)));
}

#[test]
fn an_answer_of_a_backups_ceremony_signs_nobody_in() {
    let (heard, _, _) = asked(|mut device| {
        let view = device.step();
        let created = json!({"kind": "created", "step": 1, "id": "AQ", "clientData": "", "attestationObject": "",
            "transports": [], "prfEnabled": null});
        device.say(&view, &created);
    });
    assert!(
        matches!(heard, Err(CeremonyError::BadAnswer(BadAnswer::Type))),
        "{heard:?}"
    );
}

#[test]
fn nobody_is_waited_for_longer_than_the_sign_in_is_good_for() {
    let post = Post::default();
    let (mut sign_in, link) = begun(&post, Duration::from_millis(30));
    let late = sign_in.ask();
    assert!(matches!(late, Err(CeremonyError::TimedOut)), "{late:?}");
    drop(sign_in);
    assert_eq!(last(&post, &link)["good"], false);
    assert!(post.with(|held| held.is_over));
}
