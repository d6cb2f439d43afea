//! Whole sessions with a real server: signed in, backed up, a password added, used on a new computer, refused.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set its scene fails"
)]

#[expect(
    dead_code,
    unreachable_pub,
    reason = "this file needs a part of what others share"
)]
#[path = "support/serving.rs"]
mod serving;
#[expect(dead_code, reason = "this file needs a part of what others share")]
#[path = "support/session.rs"]
mod session;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "this file needs a part of what others share"
)]
#[path = "support/tree.rs"]
mod tree;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serving::{ANY_PORT, Serving, secret_file};
use session::{Ended, Session, sample};

const ACCOUNT: [&str; 2] = ["--account-file", "account.json"];
const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];
const PASSWORD: [&str; 2] = ["--password-file", "password.txt"];
const WRONG: [&str; 2] = ["--password-file", "wrong.txt"];

/// A session with a server, signed in; a right and a wrong password lie in files.
fn scene() -> (Session, Serving) {
    let session = Session::new();
    let serving = Serving::start(&session, "server", ANY_PORT, &[]);
    secret_file(&session, "password.txt", "teapot glacier violin\n");
    secret_file(&session, "wrong.txt", "teapot glacier viola\n");
    done(session.run(&with(&["login", &serving.url], &[&ACCOUNT])));
    (session, serving)
}

fn with<'a>(args: &[&'a str], more: &[&[&'a str]]) -> Vec<&'a str> {
    [args, &more.concat()].concat()
}

fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

fn back_up(session: &Session, store: &str) {
    let sample = sample().display().to_string();
    let args = ["backup", &sample, "--to", store];
    done(session.run(&with(&args, &[&["--new-recovery-key-file", "key.txt"]])));
}

/// The exact end of a refusal; `[URL]` stands for the server.
fn refused(session: &Session, serving: &Serving, args: &[&str], code: i32, words: &str) {
    let ended = session.run(args);
    let said: String = ended
        .stderr
        .lines()
        .filter(|line| !line.starts_with("Asking "))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(said, words.replace("[URL]", &serving.url), "{args:?}");
    assert_eq!(ended.code, code, "{args:?}");
}

#[test]
fn from_nothing_to_a_restore_with_the_password_on_a_new_computer() {
    let (session, serving) = scene();
    let url = serving.url.clone();
    back_up(&session, &url);
    let added = done(session.run(&with(
        &["protect", &url, "add", "password"],
        &[&KEY, &PASSWORD],
    )));
    assert_eq!(
        added.stdout,
        "\"Password\" was added, and opens the backup · Protected · keyring 4\n"
    );
    let status = done(session.run(&with(&["protect", "status", &url, "--json"], &[&PASSWORD])));
    let password = status
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|event| event["method"] == "password")
        .unwrap();
    assert_eq!(password["server"].as_str(), Some(url.as_str()));
    assert_eq!(password["guesses_left"], 10);
    assert!(password["last_proven_at"].is_string());
    // The one that proved the new password, and the one that opened the backup just now.
    assert_eq!(password["guesses"], 2);
    for guess in password["last_guesses"].as_array().unwrap() {
        assert_eq!(guess["signed_in"], true);
        assert_eq!(guess["right"], true);
        assert!(guess["at"].is_string());
    }
    let status = done(session.run(&with(&["protect", "status", &url], &[&PASSWORD])));
    assert!(
        status
            .stdout
            .contains("       3 guesses so far, the last 3:\n"),
        "{status:?}"
    );
    let right = "  right, signed in to your account\n";
    assert_eq!(status.stdout.matches(right).count(), 3, "{status:?}");
    // A server whose log is not the one that this computer has seen.
    let memory = fs::read_dir(session.path("home/accounts")).unwrap();
    let memory = memory
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "guesses"))
        .unwrap();
    let mut seen: serde_json::Value = serde_json::from_slice(&fs::read(&memory).unwrap()).unwrap();
    seen["head"]["hash"] = "A".repeat(43).into();
    fs::write(&memory, seen.to_string()).unwrap();
    let status = session.run(&with(&["protect", "status", &url], &[&KEY]));
    assert_eq!(status.code, 13, "{status:?}");
    assert!(status.stdout.contains("Password"), "{status:?}");
    assert!(
        status
            .stderr
            .contains("does not show every guess at the password: entries were changed\n"),
        "{status:?}"
    );

    // A new computer: nothing is left but what lies in the kit.
    fs::remove_dir_all(session.path("home")).unwrap();
    let restore = |to| ["restore", url.as_str(), "--to", to];
    refused(
        &session,
        &serving,
        &with(&restore("out"), &[&ACCOUNT, &WRONG]),
        12,
        "error: wrong password, 9 guesses left\nhint: try again with care, or use another way: the recovery key (`--recovery-key-file FILE`)\n",
    );
    assert!(!session.path("out").exists());
    let restored = session.run(&with(&restore("out"), &[&ACCOUNT, &PASSWORD]));
    assert_eq!(restored.code, 0, "{restored:?}");
    assert!(
        restored
            .stderr
            .contains("1 wrong password was tried since this one was last used"),
        "{restored:?}"
    );
    done(session.run(&with(&restore("by-key"), &[&ACCOUNT, &KEY])));
    let files = tree::files(&session.path("out"));
    assert!(files.len() > 8 && files == tree::files(&session.path("by-key")));

    let (code, last) = serving.stop();
    assert_eq!(code, 0);
    assert!(
        last.starts_with(r#"{"v":1,"type":"summary","command":"serve","#),
        "{last}"
    );
    // What the server holds is no word of the chat, no password and no key.
    let held: Vec<u8> = tree::files(&session.path("server"))
        .into_values()
        .flatten()
        .collect();
    for secret in ["teapot", "birthday", "Family"] {
        let found = held
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "{secret}");
    }
}

#[test]
fn wrong_passwords_lock_it_for_longer_and_longer_and_the_recovery_key_still_opens() {
    let (session, serving) = scene();
    let url = serving.url.as_str();
    back_up(&session, url);
    done(session.run(&with(
        &["protect", "add", "password", url],
        &[&KEY, &PASSWORD],
    )));
    let args = with(&["snapshots", url], &[&WRONG]);
    let another = "or use another way: the recovery key (`--recovery-key-file FILE`)\n";
    for left in [9, 8, 7] {
        refused(
            &session,
            &serving,
            &args,
            12,
            &format!(
                "error: wrong password, {left} guesses left\nhint: try again with care, {another}"
            ),
        );
    }
    let fourth = session.run(&args);
    assert_eq!(fourth.code, 12);
    assert!(
        fourth
            .stderr
            .contains("error: wrong password, 6 guesses left; the next one in "),
        "{fourth:?}"
    );
    let locked = session.run(&with(&["snapshots", url], &[&PASSWORD]));
    assert_eq!(locked.code, 4);
    assert!(
        locked
            .stderr
            .starts_with("error: the password is locked for ")
            && locked.stderr.ends_with(&format!(
                " s: too many wrong ones were tried; 6 guesses are left then\nhint: wait, {another}"
            )),
        "{locked:?}"
    );
    done(session.run(&with(&["snapshots", url], &[&KEY])));
}

#[test]
fn who_is_not_signed_in_is_told_how() {
    let (mut session, serving) = scene();
    back_up(&session, &serving.url);
    session.move_to("other");
    let url = serving.url.as_str();
    refused(
        &session,
        &serving,
        &with(&["snapshots", url], &[&KEY]),
        4,
        "error: this computer is not signed in to [URL]\nhint: if you have the account file: `--account-file FILE`; else `heirloom login [URL] --account-file NEW-FILE`\n",
    );
    refused(
        &session,
        &serving,
        &["login", url, "--account-file", "second.json"],
        4,
        "error: [URL] lets nobody in without an invitation\nhint: ask who runs the server for one, then add `--invite-file FILE`; if you have an account file already, use it: `--account-file FILE`\n",
    );
    refused(
        &session,
        &serving,
        &[
            "login",
            url,
            "--account-file",
            "second.json",
            "--invite",
            "AAAAAAAAAAAAAAAAAAAAAA",
        ],
        4,
        "error: [URL] does not know this invitation, or it was used already\nhint: ask for another one: each is good once, for a day\n",
    );
    assert!(!session.path("second.json").exists());
    refused(
        &session,
        &serving,
        &with(&["login", url], &[&ACCOUNT]),
        2,
        "error: account.json exists already\nhint: name a new file: an account file is never replaced\n",
    );
    refused(
        &session,
        &serving,
        &["login", url],
        2,
        "error: a sign-in is kept in a file, and none was named\nhint: add `--account-file FILE`: it is written there, for you alone\n",
    );
    let account = fs::read_to_string(session.path("account.json")).unwrap();
    let token = account.lines().find(|line| line.contains("token")).unwrap();
    let token = token.split('"').nth(3).unwrap();
    let other = if token.starts_with('A') { "B" } else { "A" };
    let stale = account.replace(token, &format!("{other}{}", &token[1..]));
    secret_file(&session, "stale.json", &stale);
    refused(
        &session,
        &serving,
        &with(&["snapshots", url, "--account-file", "stale.json"], &[&KEY]),
        4,
        "error: [URL] does not accept this sign-in\nhint: sign in again: `heirloom login [URL] --account-file NEW-FILE`, with `--invite CODE` (`heirloom invite [URL]` makes one, on a computer that is signed in)\n",
    );
}

#[test]
fn an_invitation_lets_one_more_computer_in_once() {
    let (mut session, serving) = scene();
    let url = serving.url.as_str();
    back_up(&session, url);
    let invited = done(session.run(&["invite", url]));
    let code = invited.stdout.trim();
    session.move_to("other");
    let login = ["login", url, "--invite", code, "--account-file"];
    done(session.run(&with(&login, &[&["other.json"]])));
    done(session.run(&with(&["snapshots", url], &[&KEY])));
    assert_eq!(session.run(&with(&login, &[&["third.json"]])).code, 4);
}

#[test]
fn an_invitation_is_read_from_a_file_that_nobody_else_can_read() {
    let (mut session, serving) = scene();
    let url = serving.url.as_str();
    let invited = done(session.run(&["invite", url]));
    session.move_to("other");
    let login = [
        "login",
        url,
        "--invite-file",
        "code.txt",
        "--account-file",
        "other.json",
    ];
    fs::write(session.path("code.txt"), "no code").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(session.path("code.txt"), open).unwrap();
        assert_eq!(session.run(&login).code, 4);
    }
    fs::remove_file(session.path("code.txt")).unwrap();
    secret_file(&session, "code.txt", "no code");
    assert_eq!(session.run(&login).code, 2);
    fs::remove_file(session.path("code.txt")).unwrap();
    secret_file(&session, "code.txt", &invited.stdout);
    done(session.run(&login));
    let both = session.run(&with(&login, &[&["--invite", "AAAAAAAAAAAAAAAAAAAAAA"]]));
    assert_eq!(both.code, 2, "{both:?}");
}

#[test]
fn a_sign_in_that_could_be_kept_nowhere_is_ended_again() {
    let (mut session, serving) = scene();
    let url = serving.url.as_str();
    let devices = || done(session.run(&["devices", url])).stdout.lines().count();
    let before = devices();
    let code = done(session.run(&["invite", url])).stdout;
    // A name that no file system takes: seen only when the file is made.
    let long = "a".repeat(300);
    let login = ["login", url, "--invite", code.trim(), "--account-file"];
    let failed = session.run(&with(&login, &[&[&long]]));
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.stderr.contains("this computer was signed out again"),
        "{failed:?}"
    );
    assert_eq!(devices(), before);
    session.move_to("other");
    assert_eq!(
        session.run(&["devices", url]).code,
        4,
        "nothing is remembered"
    );
}

#[test]
fn a_sign_in_to_another_account_does_not_take_the_place_of_the_first() {
    let (session, serving) = scene();
    let url = serving.url.as_str();
    back_up(&session, url);
    let invited = done(session.run(&["admin", "--data", "server", "invite"]));
    let code = invited.stdout.trim();
    let second = done(session.run(&[
        "login",
        url,
        "--invite",
        code,
        "--account-file",
        "second.json",
    ]));
    assert!(
        second
            .stderr
            .contains("goes on with the account that it was signed in to before"),
        "{second:?}"
    );
    // Without a file it is the first one, with the file the second.
    done(session.run(&with(&["snapshots", url], &[&KEY])));
    let other = with(
        &["snapshots", url, "--account-file", "second.json"],
        &[&KEY],
    );
    assert_eq!(session.run(&other).code, 10);
    // One that is over stands in nobody's way.
    let token = |file: &str| fs::read_to_string(session.path(file)).unwrap();
    let (account, remembered) = (token("account.json"), remembered(&session));
    fs::remove_file(session.path("second.json")).unwrap();
    let ended = account.lines().find(|line| line.contains("token")).unwrap();
    let ended = ended.split('"').nth(3).unwrap();
    let wrong = if ended.starts_with('A') { "B" } else { "A" };
    fs::write(
        &remembered,
        account.replace(ended, &format!("{wrong}{}", &ended[1..])),
    )
    .unwrap();
    let invited = done(session.run(&["admin", "--data", "server", "invite"]));
    let third = done(session.run(&[
        "login",
        url,
        "--invite",
        invited.stdout.trim(),
        "--account-file",
        "third.json",
    ]));
    assert!(!third.stderr.contains("goes on with"), "{third:?}");
    assert_eq!(
        fs::read_to_string(&remembered).unwrap(),
        token("third.json")
    );
}

/// The file of the one sign-in that this computer remembers.
fn remembered(session: &Session) -> std::path::PathBuf {
    let mut all = fs::read_dir(session.path("home/accounts")).unwrap();
    all.next().unwrap().unwrap().path()
}

#[test]
fn a_password_that_anybody_would_guess_goes_nowhere() {
    let (session, serving) = scene();
    let url = serving.url.as_str();
    back_up(&session, url);
    secret_file(&session, "easy.txt", "password1\n");
    let add = ["protect", "add", "password", url, "--password-file"];
    refused(
        &session,
        &serving,
        &with(&add, &[&["easy.txt"], &KEY]),
        2,
        "error: the password is too easy to guess\n  because this is a very common password\nhint: three or four words that do not belong together are easy to keep in mind and hard to guess\n",
    );
    done(session.run(&with(&add, &[&["password.txt"], &KEY])));
    refused(
        &session,
        &serving,
        &with(&add, &[&["password.txt"], &KEY]),
        2,
        "error: there is a password already: \"Password\"\nhint: to have another one: `heirloom protect change password STORE`\n",
    );
}

#[test]
fn a_backup_in_a_folder_has_its_password_at_a_server_that_was_chosen() {
    let (mut session, serving) = scene();
    back_up(&session, "store");
    refused(
        &session,
        &serving,
        &with(&["protect", "add", "password", "store"], &[&KEY, &PASSWORD]),
        2,
        "error: a password needs a server that counts wrong ones, and this store is a folder\nhint: add `--server URL` of one that you are signed in to (`heirloom login`); to try it out: `heirloom serve`\n",
    );
    let url = serving.url.as_str();
    done(session.run(&with(
        &["protect", "add", "password", "store", "--server", url],
        &[&KEY, &PASSWORD],
    )));
    session.move_to("new");
    // The store names the server: nothing is sent there before somebody who knows it has said so.
    refused(
        &session,
        &serving,
        &with(&["snapshots", "store"], &[&PASSWORD]),
        4,
        "error: the backup says that its password is checked by [URL], and nobody is here to confirm that\nhint: sign in to that server first, if you know it: `--account-file FILE`; the recovery key (`--recovery-key-file FILE`) opens this backup too\n",
    );
    done(session.run(&with(&["snapshots", "store"], &[&PASSWORD, &ACCOUNT])));
}

#[test]
fn a_removed_password_opens_no_copy_that_was_made_before() {
    let (session, serving) = scene();
    let url = serving.url.as_str();
    back_up(&session, "store");
    let add = ["protect", "add", "password", "store", "--server", url];
    done(session.run(&with(&add, &[&KEY, &PASSWORD])));
    // After a rotation the vault knows the new owner, or the removal below would be refused.
    let rotated = done(session.run(&with(&["protect", "rotate", "store"], &[&KEY])));
    assert!(!rotated.stderr.contains("warning"), "{rotated:?}");
    done(session.run(&with(&["protect", "check", "store"], &[&PASSWORD])));
    tree::copy(&session.path("store"), &session.path("copy"));
    let removed = done(session.run(&with(
        &["protect", "remove", "store", "Password", "--yes"],
        &[&KEY],
    )));
    assert!(!removed.stderr.contains("warning"), "{removed:?}");
    fs::remove_dir_all(session.path("home/repositories")).unwrap();
    let ended = session.run(&with(&["snapshots", "copy"], &[&PASSWORD]));
    assert_eq!(ended.code, 12, "{ended:?}");
    refused(
        &session,
        &serving,
        &with(&["snapshots", "store"], &[&PASSWORD]),
        4,
        "error: no password opens the backup in [FOLDER]/store\nhint: what opens it from here: the recovery key (`--recovery-key-file FILE`)\n",
    );
}

/// Passes on what is said to the server, until somebody says `word`: then it hangs up, as long as `is_cut`.
fn line_that_breaks_at(port: &str, word: &'static [u8]) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let is_cut = Arc::new(AtomicBool::new(true));
    let (cut, server) = (is_cut.clone(), format!("127.0.0.1:{port}"));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (cut, server) = (cut.clone(), TcpStream::connect(&server).unwrap());
            let (mut back, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut back, &mut to));
            std::thread::spawn(move || {
                let (mut client, mut server) = (client, server);
                let mut piece = [0; 8192];
                while let Ok(read @ 1..) = client.read(&mut piece) {
                    let said = piece[..read].windows(word.len()).any(|said| said == word);
                    let is_over = said && cut.load(Ordering::SeqCst);
                    if is_over || server.write_all(&piece[..read]).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    (url, is_cut)
}

/// The account file of another address of the same server.
fn account_for(session: &Session, serving: &Serving, url: &str) {
    let account = fs::read_to_string(session.path("account.json")).unwrap();
    secret_file(session, "account.json", &account.replace(&serving.url, url));
}

#[test]
fn a_password_whose_set_up_was_cut_off_opens_for_its_owner_and_is_gone_on_with() {
    let (session, serving) = scene();
    let (url, is_cut) = line_that_breaks_at(serving.port(), b"POST /v1/records/activate");
    account_for(&session, &serving, &url);
    back_up(&session, "store");
    let add = ["protect", "add", "password", "store", "--server", &url];
    let cut = session.run(&with(&add, &[&KEY, &PASSWORD, &ACCOUNT]));
    assert_eq!(cut.code, 1, "{cut:?}");
    assert!(
        cut.stderr
            .ends_with("hint: run the same command again: it goes on where it stopped\n"),
        "{cut:?}"
    );
    // It lies in the keyring, and its signed-in owner opens with it already.
    done(session.run(&with(&["snapshots", "store"], &[&PASSWORD, &ACCOUNT])));
    let wrong = session.run(&with(&add, &[&KEY, &WRONG, &ACCOUNT]));
    assert_eq!(wrong.code, 12, "{wrong:?}");
    is_cut.store(false, Ordering::SeqCst);
    done(session.run(&with(&add, &[&KEY, &PASSWORD, &ACCOUNT])));
    done(session.run(&with(&["snapshots", "store"], &[&PASSWORD, &ACCOUNT])));
    let again = session.run(&with(&add, &[&KEY, &PASSWORD, &ACCOUNT]));
    assert!(
        again.stderr.contains("there is a password already"),
        "{again:?}"
    );
}

/// Asks the server as a thief of the account file would.
fn ask(session: &Session, serving: &Serving, request: &str) -> String {
    let account = fs::read_to_string(session.path("account.json")).unwrap();
    let account: serde_json::Value = serde_json::from_str(&account).unwrap();
    let token = account["token"].as_str().unwrap();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{}", serving.port())).unwrap();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Takes the newest object below a prefix away.
fn take_newest(session: &Session, serving: &Serving, prefix: &str) {
    let list = ask(session, serving, &format!("GET /v1/blobs?prefix={prefix}"));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let newest = list["blobs"].as_array().unwrap().last().unwrap();
    let newest = newest["name"].as_str().unwrap();
    ask(session, serving, &format!("DELETE /v1/blobs/{newest}"));
}

#[test]
fn a_store_that_goes_back_in_time_is_found_out_by_a_computer_that_never_saw_it() {
    let (mut session, serving) = scene();
    let url = serving.url.as_str();
    back_up(&session, url);
    let sample = sample().display().to_string();
    done(session.run(&["backup", &sample, "--to", url, "--force"]));
    session.move_to("new");
    let look = with(&["snapshots", url], &[&KEY, &ACCOUNT]);
    done(session.run(&look));
    session.move_to("newer");
    take_newest(&session, &serving, "heads/");
    let ended = session.run(&look);
    assert_eq!(ended.code, 13, "{ended:?}");
    assert!(
        ended.stderr.contains(" ends at 1, it was at 2"),
        "{ended:?}"
    );
    session.move_to("newest");
    take_newest(&session, &serving, "keyring/");
    let ended = session.run(&look);
    assert_eq!(ended.code, 13, "{ended:?}");
    let words = format!("keyring 1 is its newest, and the witness of {url} has signed keyring 2");
    assert!(ended.stderr.contains(&words), "{ended:?}");
    // No key is asked for, and nothing is written.
    let ended = session.run(&with(&["backup", &sample, "--to", url], &[&ACCOUNT]));
    assert_eq!(ended.code, 13, "{ended:?}");
}

#[test]
fn a_changed_password_opens_and_the_old_one_does_not() {
    let (session, serving) = scene();
    let url = serving.url.as_str();
    back_up(&session, url);
    done(session.run(&with(
        &["protect", "add", "password", url],
        &[&KEY, &PASSWORD],
    )));
    secret_file(&session, "new.txt", "lantern pickle orchard\n");
    let changed = done(session.run(&with(
        &[
            "protect",
            "change",
            "password",
            url,
            "--new-password-file",
            "new.txt",
        ],
        &[&PASSWORD],
    )));
    assert!(
        changed
            .stdout
            .starts_with("The password was changed: \"Password 2\" opens the backup · Protected"),
        "{changed:?}"
    );
    assert!(!changed.stderr.contains("warning"), "{changed:?}");
    let old = session.run(&with(&["snapshots", url], &[&PASSWORD]));
    assert_eq!(old.code, 12, "{old:?}");
    done(session.run(&with(
        &["snapshots", url, "--password-file", "new.txt"],
        &[],
    )));
}

#[test]
fn a_change_that_was_cut_off_leaves_the_old_password_and_is_gone_on_with() {
    let (session, serving) = scene();
    let (url, is_cut) = line_that_breaks_at(serving.port(), b"POST /v1/records/activate");
    is_cut.store(false, Ordering::SeqCst);
    account_for(&session, &serving, &url);
    back_up(&session, "store");
    let add = ["protect", "add", "password", "store", "--server", &url];
    done(session.run(&with(&add, &[&KEY, &PASSWORD, &ACCOUNT])));
    secret_file(&session, "new.txt", "lantern pickle orchard\n");
    let change = with(
        &[
            "protect",
            "change",
            "password",
            "store",
            "--new-password-file",
            "new.txt",
        ],
        &[&KEY, &ACCOUNT],
    );
    is_cut.store(true, Ordering::SeqCst);
    let cut = session.run(&change);
    assert_eq!(cut.code, 1, "{cut:?}");
    let open = |file| {
        session.run(&with(
            &["snapshots", "store", "--password-file", file],
            &[&ACCOUNT],
        ))
    };
    done(open("password.txt"));
    assert_eq!(open("new.txt").code, 12);
    is_cut.store(false, Ordering::SeqCst);
    done(session.run(&change));
    assert_eq!(open("password.txt").code, 12);
    done(open("new.txt"));
}

#[test]
fn another_server_at_the_same_address_gets_no_password() {
    let (session, serving) = scene();
    back_up(&session, "store");
    let url = serving.url.clone();
    let add = ["protect", "add", "password", "store", "--server", &url];
    done(session.run(&with(&add, &[&KEY, &PASSWORD])));
    let listen = format!("127.0.0.1:{}", serving.port());
    serving.stop();
    let other = Serving::start(&session, "another-server", &listen, &[]);
    assert_eq!(other.url, url);
    refused(
        &session,
        &other,
        &with(&["snapshots", "store"], &[&PASSWORD]),
        13,
        "error: [URL] is not the server that the password was set up with\nhint: the password was not sent; ask who runs the server whether it was set up anew, and use another way in until you know\n",
    );
}

#[test]
fn a_server_that_is_gone_or_is_none_is_said_in_words() {
    let (session, serving) = scene();
    back_up(&session, &serving.url);
    let url = serving.url.clone();
    let listen = format!("127.0.0.1:{}", serving.port());
    let second = session.run(&["serve", "--listen", &listen, "--data", "second"]);
    assert_eq!(
        (second.code, second.stderr.as_str()),
        (
            1,
            format!("error: the server cannot be started\n  because address already in use\nhint: something else answers at {listen}: stop it, or take another port: `--listen 127.0.0.1:0` takes a free one\n").as_str()
        )
    );
    let stopped = serving.stop();
    assert_eq!(stopped.0, 0);
    let ended = session.run(&with(&["snapshots", &url], &[&KEY]));
    assert_eq!(
        (ended.code, ended.stderr),
        (
            1,
            format!(
                "error: {url} cannot be reached\n  because connection refused\nhint: check the address and that the server runs, then run this again\n"
            )
        )
    );
    let ended = session.run(&with(&["snapshots", "http://vault.example.org"], &[&KEY]));
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (
            2,
            "error: http://vault.example.org is not a server's address: without https, others on the way could read the sign-in\nhint: write it as https://vault.example.org, or http://localhost:8750 for a server on this computer\n"
        )
    );
}
