//! What operators do, through their socket, while the server runs; and what follows the rules of a roll-out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use heirloom_vault::{Answer, Ask, Config, RolloutConfig, Server};
use heirloom_vault_api::*;
use secrecy::SecretBox;

use crate::client::Client;
use crate::running::{Running, start, start_in};

fn socket(running: &Running) -> PathBuf {
    running.folder.path().join("data/admin.sock")
}

fn say(running: &Running, line: &[u8]) -> Answer {
    let mut stream = UnixStream::connect(socket(running)).unwrap();
    stream.write_all(line).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn ask(running: &Running, ask: &Ask) -> Answer {
    let mut line = serde_json::to_vec(ask).unwrap();
    line.push(b'\n');
    say(running, &line)
}

fn whose(client: &Client) -> Account {
    client.get("/v1/account").json()
}

const CHANGED: Answer = Answer::Done { changed: true };
const UNCHANGED: Answer = Answer::Done { changed: false };

/// Whoever is told that a server listens may ask at once, wherever it answers.
#[test]
fn ports_and_socket_are_there_before_the_server_says_so_and_gone_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), data.clone());
    config.admin_listen = Some("127.0.0.1:0".parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::bind(config)).unwrap();
    // It does not run yet, and whoever comes waits.
    let mut asks = UnixStream::connect(data.join("admin.sock")).unwrap();
    let mut question = serde_json::to_vec(&Ask::Users { after: None }).unwrap();
    question.push(b'\n');
    asks.write_all(&question).unwrap();
    let (one, two) = (server.address(), server.admin_address().unwrap());
    let asked = [one, two].map(|address| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .unwrap();
        stream
    });
    let answered = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(asks).read_line(&mut line).unwrap();
        let statuses = asked.map(|stream| crate::client::read(stream).unwrap().status);
        (line, statuses)
    });
    runtime
        .block_on(server.run(async {
            while !answered.is_finished() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }))
        .unwrap();
    let (line, statuses) = answered.join().unwrap();
    let answer: Answer = serde_json::from_str(&line).unwrap();
    assert!(matches!(answer, Answer::Users { .. }), "{line}");
    assert_eq!(statuses, [200, 200]);
    assert!(!data.join("admin.sock").exists());
}

#[test]
fn an_operator_lists_limits_disables_and_deletes_accounts() {
    let running = start(|_| ());
    let (one, two) = (running.signed_in(), running.signed_in());
    let account = whose(&one).account;
    let put = one.send("PUT", "/v1/blobs/a", &[], b"12345").unwrap();
    assert_eq!(put.status, 201);
    let Answer::Users { users, more } = ask(&running, &Ask::Users { after: None }) else {
        panic!("no list");
    };
    assert_eq!((users.len(), more), (2, false));
    assert!(users[0].account < users[1].account);
    let after = Some(users[0].account);
    let Answer::Users { users: rest, .. } = ask(&running, &Ask::Users { after }) else {
        panic!("no list");
    };
    assert_eq!(rest, users[1..]);
    let Answer::User { user, passwords } = ask(&running, &Ask::User { account }) else {
        panic!("no account");
    };
    let figures = (user.used_bytes, user.objects, user.devices, passwords);
    assert_eq!(figures, (5, 1, 1, 0));

    let quota = |quota_bytes| Ask::Quota {
        account,
        quota_bytes,
    };
    assert_eq!(ask(&running, &quota(6)), CHANGED);
    let full = one.send("PUT", "/v1/blobs/b", &[], b"67").unwrap();
    assert_eq!(full.problem().code, Code::QuotaExceeded);

    let disable = |disabled| Ask::Disable { account, disabled };
    assert_eq!(ask(&running, &disable(true)), CHANGED);
    assert_eq!(ask(&running, &disable(true)), UNCHANGED);
    assert_eq!(one.get("/v1/account").problem().code, Code::SignInNeeded);
    assert_eq!(two.get("/v1/account").status, 200);
    assert_eq!(ask(&running, &disable(false)), CHANGED);
    assert_eq!(one.get("/v1/blobs/a").body, b"12345", "nothing was lost");

    assert_eq!(ask(&running, &Ask::Delete { account }), CHANGED);
    assert_eq!(one.get("/v1/account").problem().code, Code::SignInNeeded);
    for gone in [
        Ask::User { account },
        quota(1),
        disable(true),
        Ask::Delete { account },
    ] {
        assert_eq!(ask(&running, &gone), Answer::NoAccount, "{gone:?}");
    }
    let Answer::Stats(stats) = ask(&running, &Ask::Stats) else {
        panic!("no figures");
    };
    let figures = (stats.accounts, stats.objects, stats.deleted_objects);
    assert_eq!(figures, (1, 0, 1));
    let Answer::Invited { invite } = ask(&running, &Ask::Invite { tenant: None }) else {
        panic!("no invitation");
    };
    let signed_in = running
        .client()
        .post("/v1/accounts", &SignIn::by(Some(invite)));
    assert_eq!(signed_in.unwrap().status, 201);
    running.stop();
}

#[test]
fn what_operators_did_is_chained_and_an_altered_entry_is_found() {
    let running = start(|_| ());
    let account = whose(&running.signed_in()).account;
    for quota_bytes in 1..=3 {
        let quota = Ask::Quota {
            account,
            quota_bytes,
        };
        assert_eq!(ask(&running, &quota), CHANGED);
    }
    let audit = |running: &Running| match ask(running, &Ask::Verify) {
        Answer::Audit(audit) => audit,
        other => panic!("{other:?}"),
    };
    let Answer::Acts { acts } = ask(&running, &Ask::Acts { after: 0 }) else {
        panic!("no acts");
    };
    assert_eq!(acts.len(), 3);
    assert_eq!(acts[2].detail, format!("{} 3", account.to_text()));
    let whole = audit(&running);
    assert_eq!((whole.acts, whole.acts_wrong_from), (3, None));
    let mut folder = running.stop();
    let path = folder.path().join("data/vault.sqlite");
    for (alter, undo, wrong) in [
        (
            "UPDATE vault_act SET time_ms = time_ms + 1 WHERE sequence = 1",
            "UPDATE vault_act SET time_ms = time_ms - 1 WHERE sequence = 1",
            3,
        ),
        (
            "UPDATE vault_act SET sequence = 9 WHERE sequence = 2",
            "UPDATE vault_act SET sequence = 2 WHERE sequence = 9",
            2,
        ),
        (
            "UPDATE vault_act_head SET length = 4",
            "UPDATE vault_act_head SET length = 3",
            4,
        ),
        (
            "UPDATE vault_act_head SET length = 2",
            "UPDATE vault_act_head SET length = 3",
            3,
        ),
    ] {
        let sql = |text: &str| {
            let database = rusqlite::Connection::open(&path).unwrap();
            database.execute_batch(text).unwrap();
        };
        sql(alter);
        let running = start_in(folder, |_| ());
        assert_eq!(audit(&running).acts_wrong_from, Some(wrong), "{alter}");
        folder = running.stop();
        sql(undo);
    }
    let running = start_in(folder, |_| ());
    assert_eq!(audit(&running), whole);
    running.stop();
}

#[test]
fn no_question_of_an_operator_gives_a_guess_back() {
    let running = start(|_| ());
    let client = running.signed_in();
    let account = whose(&client).account;
    let record = Fixed([7; 16]);
    let guess = || {
        let password = Password::new("wrong".to_owned().into()).unwrap();
        let pinned = Pinned {
            record,
            identity: running.client().identity(),
            suite: suite::NEWEST,
        };
        let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
        let (_, start) = Login::start(&password, pinned, Which::Active, &mut rng).unwrap();
        running.client().post("/v1/guesses", &start).unwrap()
    };
    for _ in 0..4 {
        assert_eq!(guess().status, 200);
    }
    assert_eq!(guess().problem().code, Code::Wait);
    let disable = |disabled| Ask::Disable { account, disabled };
    for act in [
        Ask::Locks { after: None },
        Ask::Verify,
        Ask::AcceptRestore,
        Ask::Quota {
            account,
            quota_bytes: 1,
        },
        disable(true),
        disable(false),
        Ask::RotateKeys,
        Ask::Keys,
        Ask::Delete { account },
    ] {
        ask(&running, &act);
        assert_eq!(guess().problem().code, Code::Wait, "{act:?}");
    }
    running.stop();
}

#[test]
fn the_socket_is_for_its_host_alone_and_outlives_nonsense() {
    let running = start(|_| ());
    assert!(matches!(ask(&running, &Ask::Stats), Answer::Stats(_)));
    let mode = std::fs::metadata(socket(&running)).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    for nonsense in [
        b"\n".to_vec(),
        b"{}\n".to_vec(),
        b"{\"ask\":\"refill\"}\n".to_vec(),
        [vec![0xFF; 100], b"\n".to_vec()].concat(),
    ] {
        assert!(matches!(say(&running, &nonsense), Answer::Failed { .. }));
    }
    // What is longer than any question is not read to its end.
    let mut stream = UnixStream::connect(socket(&running)).unwrap();
    let _ = stream.write_all(&vec![b'x'; 100_000]);
    drop(stream);
    drop(UnixStream::connect(socket(&running)).unwrap());
    assert!(matches!(ask(&running, &Ask::Stats), Answer::Stats(_)));
    let path = socket(&running);
    let _folder = running.stop();
    assert!(!path.exists());
}

#[test]
fn the_wrapping_key_is_changed_while_the_server_answers() {
    let running = start(|_| ());
    let keys = || match ask(&running, &Ask::Keys) {
        Answer::Keys(keys) => keys,
        other => panic!("{other:?}"),
    };
    assert_eq!((keys().custody.as_str(), keys().wrapping_keys), ("file", 1));
    assert_eq!(ask(&running, &Ask::RotateKeys), CHANGED);
    assert_eq!(keys().wrapping_keys, 2);
    let Answer::Failed { why } = ask(&running, &Ask::RotateKeys) else {
        panic!("a third key");
    };
    assert!(why.contains("2 wrapping keys are in use"), "{why}");
    assert_eq!(running.client().get("/healthz").status, 200);
    let folder = running.stop();
    let running = start_in(folder, |_| ());
    let Answer::Keys(keys) = ask(&running, &Ask::Keys) else {
        panic!("no keys");
    };
    assert_eq!(keys.wrapping_keys, 2, "it goes on");
    running.stop();
}

fn operator() -> OperatorKey {
    OperatorKey::new(SecretBox::new(Box::new([9; 32])))
}

#[test]
fn offers_follow_the_rules_that_lie_in_the_file_now() {
    let rules = |state: &str| {
        let flag = r#""variants":{"on":true,"off":false},"defaultVariant":"on""#;
        format!(r#"{{"flags":{{"password":{{"state":"{state}",{flag}}}}}}}"#)
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules");
    let write = |version: u64, text: &str| {
        let stamp = operator().stamp(version, 0, text.as_bytes());
        // Whole, as `heirloom admin rollout sign` does it.
        let part = file.with_extension("part");
        std::fs::write(&part, stamp.file(text.as_bytes())).unwrap();
        std::fs::rename(&part, &file).unwrap();
    };
    write(3, &rules("ENABLED"));
    let running = start(|config| {
        config.rollout = Some(RolloutConfig {
            file: file.clone(),
            operator: operator().public(),
            region: None,
        });
    });
    let client = running.signed_in();
    let (account, identity) = (whose(&client).account, client.identity());
    let question = |nonce: u8| AskOffers {
        platform: "linux".to_owned(),
        version: "1.2.3".to_owned(),
        nonce: Fixed([nonce; 32]),
    };
    let offers = |nonce: u8| -> Offers {
        let offers: Offers = client.post("/v1/offers", &question(nonce)).unwrap().json();
        offers
            .verify(&Fixed([nonce; 32]), &account, &identity)
            .unwrap();
        offers
    };
    let first = offers(1);
    assert!(first.has("password") && first.has("passkey"));
    assert_eq!(first.stamp.unwrap().version, 3);
    write(4, &rules("DISABLED"));
    let until = Instant::now() + Duration::from_mins(1);
    while offers(2).stamp.unwrap().version == 3 {
        assert!(Instant::now() < until, "the change was not seen");
        std::thread::sleep(Duration::from_millis(50));
    }
    let second = offers(3);
    assert!(!second.has("password") && second.has("passkey"));
    let seen = SeenRules::after(None, first.stamp.as_ref()).unwrap();
    SeenRules::after(seen, second.stamp.as_ref()).unwrap();

    let stranger = running.client().post("/v1/offers", &question(4)).unwrap();
    assert_eq!(stranger.problem().code, Code::SignInNeeded);
    for wrong in ["a b", "ä", &"x".repeat(65)] {
        let question = AskOffers {
            platform: wrong.to_owned(),
            ..question(5)
        };
        let refused = client.post("/v1/offers", &question).unwrap();
        assert_eq!(refused.problem().code, Code::BadRequest, "{wrong}");
    }
    running.stop();
}
