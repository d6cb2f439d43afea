//! Thieves: of the database alone, of database and objects, of database and keys. They know the right password.

use std::fs;
use std::path::Path;

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use heirloom_vault::{Config, ServeError, Server};
use heirloom_vault_api::*;

use crate::client::Client;
use crate::http::{TEXT, enrol, password};
use crate::running::{Running, contains, start, start_in, walk};
use crate::uploads::bytes;

/// Tries the right password at a vault that a thief built, as the owner of the record or not. `None`: in vain.
fn try_it(client: &Client, record: RecordName) -> Option<ExportKey> {
    let mut rng = UnwrapErr(SysRng);
    let pinned = Pinned {
        record,
        // A thief pins whatever answers.
        identity: client.identity(),
        suite: suite::NEWEST,
    };
    let (login, start) = Login::start(&password(TEXT), pinned, Which::Active, &mut rng).unwrap();
    let answer = client.post("/v1/guesses", &start).unwrap();
    if answer.status != 200 {
        return None;
    }
    let opened = login.finish(&password(TEXT), &answer.json(), &mut rng);
    opened.ok().map(|opened| opened.export_key)
}

struct Stolen {
    folder: tempfile::TempDir,
    record: RecordName,
    key: ExportKey,
    token: Token,
    object: Vec<u8>,
}

fn victim() -> Stolen {
    let server = start(|_| ());
    let client = server.signed_in();
    let (record, key) = enrol(&client);
    let object = bytes(100_000, 11);
    let put = client.send("PUT", "/v1/blobs/packs/0a", &[], &object);
    assert_eq!(put.unwrap().status, 201);
    Stolen {
        token: client.token.as_ref().unwrap().duplicate(),
        record,
        key,
        object,
        folder: server.stop(),
    }
}

/// A vault of the thief's, with these files of the victim's in place of its own.
fn thiefs(stolen: &Stolen, files: &[&str]) -> Running {
    let folder = start(|_| ()).stop();
    let (from, to) = (
        stolen.folder.path().join("data"),
        folder.path().join("data"),
    );
    for name in ["vault.sqlite-wal", "vault.sqlite-shm"] {
        let _ = fs::remove_file(to.join(name));
    }
    for name in files {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let server = start_in(folder, |_| ());
    // The thief is the operator of this one: nothing is held back from them.
    server
        .runtime
        .block_on(server.admin.accept_restore())
        .unwrap();
    server
}

/// What a start says in this folder.
fn refused(folder: &Path) -> ServeError {
    let config = Config::new("127.0.0.1:0".parse().unwrap(), folder.join("data"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(Server::bind(config)).unwrap_err()
}

#[test]
fn a_database_under_the_keys_of_another_is_not_served_and_no_guess_is_lost() {
    let stolen = victim();
    let data = stolen.folder.path().join("data");
    let right = fs::read(data.join("server.keys")).unwrap();
    let other = start(|_| ()).stop();
    fs::copy(
        other.path().join("data/server.keys"),
        data.join("server.keys"),
    )
    .unwrap();
    let error = refused(stolen.folder.path());
    assert!(matches!(error, ServeError::KeysForeign), "{error}");
    fs::write(data.join("server.keys"), right).unwrap();
    let server = start_in(stolen.folder, |_| ());
    let key = try_it(&server.client(), stolen.record).unwrap();
    assert_eq!(key.exposed(), stolen.key.exposed());
    server.stop();
}

/// The victim's rows among those of a vault of the thief's, whose own record comes first and opens.
fn smuggled(stolen: &Stolen) -> Running {
    let thief = victim();
    let own = thief.folder.path().join("data/vault.sqlite");
    let theirs = stolen.folder.path().join("data/vault.sqlite");
    let database = rusqlite::Connection::open(own).unwrap();
    let rows = "ATTACH ?1 AS stolen";
    database.execute(rows, [theirs.to_str().unwrap()]).unwrap();
    for table in ["vault_account", "vault_token", "vault_record"] {
        let copy = format!("INSERT INTO {table} SELECT * FROM stolen.{table}");
        database.execute(&copy, []).unwrap();
    }
    drop(database);
    start_in(thief.folder, |_| ())
}

#[test]
fn with_the_database_alone_not_even_the_right_password_can_be_tried() {
    let stolen = victim();
    let server = smuggled(&stolen);
    let stranger = server.client();
    let mut owner = server.client();
    owner.token = Some(stolen.token.duplicate());
    for client in [&stranger, &owner] {
        assert!(try_it(client, stolen.record).is_none());
    }
    server.stop();
    // The same thief with the server's keys: so it is the keys that were missing, and nothing else.
    let server = thiefs(&stolen, &["vault.sqlite", "server.keys"]);
    let key = try_it(&server.client(), stolen.record).unwrap();
    assert_eq!(key.exposed(), stolen.key.exposed());
    server.stop();
}

/// Whether a file of the folder holds these bytes, also written as the wire writes them.
fn is_held(folder: &Path, what: &[u8]) -> bool {
    let text = what
        .try_into()
        .map(|bytes: [u8; 32]| Fixed(bytes).to_text())
        .unwrap_or_default();
    walk(folder).iter().any(|path| {
        let held = fs::read(path).unwrap();
        contains(&held, what) || (!text.is_empty() && contains(&held, text.as_bytes()))
    })
}

#[test]
fn database_and_objects_hold_no_password_no_key_no_token_and_no_word_of_accounts_in_names() {
    let stolen = victim();
    let data = stolen.folder.path().join("data");
    let server_keys = fs::read(data.join("server.keys")).unwrap();
    fs::remove_file(data.join("server.keys")).unwrap();
    assert!(!is_held(&data, TEXT.as_bytes()));
    for part in stolen.key.exposed().chunks(32) {
        assert!(!is_held(&data, part));
    }
    assert!(!is_held(&data, stolen.token.0.as_bytes()));
    // No part of the server's keys lies beside them.
    for part in server_keys.windows(16).skip(32).step_by(16) {
        assert!(!is_held(&data, part));
    }
    // What is stored is what the client sealed, byte for byte: nothing was added, nothing opened.
    let files = walk(&data.join("blobs"));
    assert_eq!(files.len(), 1);
    assert!(fs::read(&files[0]).unwrap() == stolen.object);
    // The control: the search finds what is there.
    assert!(is_held(&data, &stolen.object[5000..5032]));
    assert!(is_held(&data, stolen.record.as_bytes()));
}
