//! Each kind of row, and the rows of databases that nobody expects.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a test stops where it fails"
)]

#[path = "support/android.rs"]
mod android_support;

use std::sync::LazyLock;

use android_support::{MODERN, collect, collect_result, shared, small_folder, sql_database};
use heirloom_archive::report::Kind;
use heirloom_archive::{Message, MessageKind, Presence};
use heirloom_importers::whatsapp::android::AndroidFolder;
use proptest::prelude::*;

fn message(all: &android_support::Collected, id: &str) -> Message {
    all.messages
        .iter()
        .find(|(_, m)| m.id == id)
        .unwrap_or_else(|| panic!("{id} is missing"))
        .1
        .clone()
}

#[test]
fn every_table_around_a_message_is_read() {
    let dir = tempfile::tempdir().unwrap();
    small_folder(dir.path());
    let all = collect(&mut AndroidFolder::open(dir.path(), None).unwrap());
    assert!(all.report.adds_up());

    let picture = message(&all, "PIC");
    assert_eq!(
        (picture.kind(), &*picture.text),
        (MessageKind::Picture, "look")
    );
    assert_eq!(
        picture.attachments[0].source_path,
        "Media/WhatsApp Images/a.jpg"
    );
    assert_eq!(picture.attachments[0].presence(), Presence::Present);
    assert_eq!(picture.reactions.len(), 2);
    assert_eq!(
        (&*picture.reactions[0].author, &*picture.reactions[0].emoji),
        ("self", "❤")
    );
    assert_eq!(&*picture.reactions[1].author, "15550000001@s.whatsapp.net");
    assert_eq!(picture.receipts[0].read_at, 77);
    assert!(picture.starred && picture.forwarded && picture.edited);
    assert_eq!(picture.edits[0].at, 1234);

    let poll = message(&all, "POLL").poll.unwrap();
    assert_eq!((&*poll.question, poll.selectable), ("Lunch?", 1));
    assert_eq!((&*poll.options[1].text, poll.options[1].votes), ("Soup", 1));
    assert_eq!(poll.options[1].voters, ["15550000001@s.whatsapp.net"]);

    let reply = message(&all, "REPLY").reply_to.unwrap();
    assert_eq!(
        (&*reply.message, &*reply.author, &*reply.text),
        ("PIC", "15550000001@s.whatsapp.net", "look")
    );

    let live = message(&all, "LIVE").location.unwrap();
    assert!((live.latitude - 51.5).abs() < 1e-9 && live.live_seconds == 900);
    assert_eq!(message(&all, "CARD").contacts[0].name, "Ana");
    let gone = message(&all, "GONE");
    assert_eq!(
        (gone.kind(), gone.deleted.unwrap().at),
        (MessageKind::Deleted, 99)
    );
    let event = message(&all, "EVENT");
    assert_eq!((&*event.author, &*event.text), ("", "A number was changed"));
    let event = event.system.unwrap();
    assert_eq!(event.event, "action 10");
    assert_eq!(
        event.participants,
        ["15550000001@s.whatsapp.net", "15550000002@s.whatsapp.net"]
    );
    let missed = message(&all, "CALL").call.unwrap();
    assert!(missed.missed && missed.video);
    let once = message(&all, "ONCE");
    assert!(once.view_once && once.attachments[0].presence() == Presence::Absent);
    let unknown = message(&all, "NEW");
    assert_eq!(
        (unknown.kind(), &*unknown.text),
        (MessageKind::Unsupported, "what is this")
    );
    let raw = unknown.raw.unwrap();
    assert_eq!(
        (&*raw.kind, &*raw.data),
        ("message_type 91", &b"\x01\x02"[..])
    );
    let call = all
        .messages
        .iter()
        .find(|(_, m)| m.id.starts_with("call/"))
        .unwrap()
        .1
        .call
        .unwrap();
    assert_eq!(call.seconds, 61);
}

#[test]
fn rows_of_one_key_are_all_kept() {
    for index in [
        "",
        "CREATE INDEX i ON message(chat_row_id, from_me, key_id)",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let rows = "INSERT INTO jid(_id, raw_string) VALUES (1,'1555000001@s.whatsapp.net'),(2,'9@lid');
            INSERT INTO jid_map(lid_row_id,jid_row_id) VALUES (2,1);
            INSERT INTO chat(_id, jid_row_id) VALUES (1,1);
            INSERT INTO message(_id,chat_row_id,from_me,key_id,sender_jid_row_id,timestamp,message_type,text_data)
            VALUES (1,-1,0,'-1',NULL,NULL,NULL,NULL),(5,1,0,'A',1,1,0,'a'),(6,1,0,'A',2,2,0,'b'),(7,1,1,'A',0,3,0,'c'),
            (8,1,0,'',0,4,0,'d'),(9,77,0,'B',0,4,0,'lost chat');";
        sql_database(&dir.path().join("msgstore.db"), &[MODERN, rows, index]);
        let all = collect(&mut AndroidFolder::open(dir.path(), None).unwrap());
        let ids: Vec<_> = all
            .messages
            .iter()
            .map(|(_, m)| (m.id.as_str(), m.author.as_str()))
            .collect();
        let peer = "1555000001@s.whatsapp.net";
        assert_eq!(
            ids,
            [
                ("A", peer),
                ("A/6", peer),
                ("A", "self"),
                ("row/8", peer),
                ("B", "")
            ]
        );
        assert_eq!(all.report.counts(Kind::Messages).found, 5);
        assert_eq!(all.report.counts(Kind::Conversations).found, 2);
    }
}

#[test]
fn a_database_with_next_to_nothing_in_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("msgstore.db");
    sql_database(
        &path,
        &[
            "CREATE TABLE message(_id INTEGER PRIMARY KEY, chat_row_id INTEGER);
           INSERT INTO message VALUES (1, 1), (2, 1)",
        ],
    );
    let all = collect(&mut AndroidFolder::open(&path, None).unwrap());
    assert_eq!(all.messages.len(), 2);
    assert_eq!(all.messages[0].1.kind(), MessageKind::Unsupported);
    sql_database(
        &dir.path().join("legacy.db"),
        &["CREATE TABLE messages(key_remote_jid TEXT)"],
    );
    assert!(AndroidFolder::open(&dir.path().join("legacy.db"), None).is_ok());
}

#[test]
fn a_database_of_something_else_is_no_chat() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("msgstore.db");
    sql_database(
        &path,
        &["CREATE TABLE songs(_id INTEGER PRIMARY KEY, title TEXT)"],
    );
    let error = AndroidFolder::open(&path, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "msgstore.db is not a chat history that Heirloom knows"
    );
    assert!(error.hint().unwrap().contains("choose msgstore.db"));
}

#[test]
fn values_of_any_type_in_any_column_are_tolerated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("msgstore.db");
    let rows = "INSERT INTO jid(_id, raw_string) VALUES (1, x'ff00'), (2, 3.5);
        INSERT INTO chat(_id, jid_row_id, subject) VALUES (1,1,x'ff'),(2,'x',9e99);
        INSERT INTO message(_id,chat_row_id,from_me,key_id,sender_jid_row_id,timestamp,message_type,text_data)
        VALUES (1,1,'x',x'00ff','y','-5',9e99,1),(2,1,NULL,3,NULL,1e300,'0',x'80');
        INSERT INTO message_media(message_row_id, file_path, file_size, media_duration) VALUES (1,x'2e2e2f78',-4,1e99);";
    sql_database(&path, &[&MODERN.replace(" NOT NULL", ""), rows]);
    let all = collect(&mut AndroidFolder::open(&path, None).unwrap());
    assert_eq!(all.messages.len(), 2);
    assert!(all.report.adds_up());
}

#[test]
fn tables_without_their_columns_are_tolerated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("msgstore.db");
    let tables = [
        "jid",
        "jid_map",
        "lid_display_name",
        "chat",
        "message_media",
        "message_quoted",
        "message_add_on",
        "message_add_on_reaction",
        "message_poll",
        "message_poll_option",
        "call_log",
        "message_call_log",
        "receipt_user",
        "message_system",
        "message_vcard",
        "group_participant_user",
        "newsletter",
        "message_add_on_poll_vote_selected_option",
    ];
    let mut sql = String::from(
        "CREATE TABLE message(_id INTEGER PRIMARY KEY, chat_row_id INTEGER, key_id TEXT);
         INSERT INTO message VALUES (1,1,'A');",
    );
    for key in ["other", "message_row_id", "_id", "jid_row_id"] {
        let made: Vec<String> = tables
            .iter()
            .map(|table| format!("CREATE TABLE {table}({key} TEXT);"))
            .collect();
        let _ = std::fs::remove_file(&path);
        sql_database(&path, &[&sql, &made.concat()]);
        assert_eq!(
            collect(&mut AndroidFolder::open(&path, None).unwrap())
                .messages
                .len(),
            1,
            "{key}"
        );
    }
    sql.push_str("CREATE VIEW message_media AS SELECT 1 AS message_row_id");
    let _ = std::fs::remove_file(&path);
    sql_database(&path, &[&sql]);
    assert_eq!(
        collect(&mut AndroidFolder::open(&path, None).unwrap())
            .messages
            .len(),
        1
    );
}

static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    small_folder(dir.path());
    std::fs::read(dir.path().join("msgstore.db")).unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_damaged_database_never_panics(flips in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..40), cut in any::<u16>()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("msgstore.db");
        let mut bytes = SMALL.clone();
        for (at, value) in flips {
            let at = usize::try_from(at).unwrap() % bytes.len();
            bytes[at] ^= value;
        }
        if cut < 2000 {
            let len = bytes.len() - usize::from(cut) % bytes.len();
            bytes.truncate(len);
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(mut folder) = AndroidFolder::open(&path, None)
            && let Ok(all) = collect_result(&mut folder)
        {
            prop_assert!(all.report.adds_up());
        }
    }
}

#[test]
fn a_real_database_with_flipped_bytes_never_panics() {
    let Some(root) = shared("corpus/_built/dev/msgstore") else {
        return;
    };
    let whole = std::fs::read(root.join("msgstore.db")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("msgstore.db");
    for seed in 0..12usize {
        let mut bytes = whole.clone();
        for flip in 0..=seed * 3 {
            let at = (seed * 7_919 + flip * 104_729) % bytes.len();
            bytes[at] ^= 0x55;
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(mut folder) = AndroidFolder::open(&path, None) {
            let _ = collect_result(&mut folder);
        }
    }
}
