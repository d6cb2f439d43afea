use std::collections::BTreeMap;
use std::path::Path;

use heirloom_archive::{
    Conversation, ConversationRef, Message, Participant, Sink, SinkError, Source,
};
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::whatsapp::android::RowRanges;
use crate::whatsapp::android::modern::Wanted;
use crate::whatsapp::android::since::Tally;

const KEY: [u8; 32] = [7; 32];
const SCHEMA: &str = include_str!("../../../../examples/read_speed.sql");

/// All messages by conversation, author and id: the identity that an archive gives them.
#[derive(Default, Clone, PartialEq, Debug)]
struct Archive {
    conversations: Vec<String>,
    messages: BTreeMap<(String, String, String), Message>,
}

impl Sink for Archive {
    fn participant(&mut self, _: Participant) -> Result<(), SinkError> {
        Ok(())
    }

    fn conversation(&mut self, conversation: Conversation) -> Result<ConversationRef, SinkError> {
        let known = self
            .conversations
            .iter()
            .position(|id| *id == conversation.id);
        let at = known.unwrap_or_else(|| {
            self.conversations.push(conversation.id);
            self.conversations.len() - 1
        });
        Ok(ConversationRef(u32::try_from(at).unwrap()))
    }

    fn message(
        &mut self,
        conversation: ConversationRef,
        message: Message,
    ) -> Result<(), SinkError> {
        let conversation = self.conversations[usize::try_from(conversation.0).unwrap()].clone();
        let known = self.messages.insert(
            (conversation, message.author.clone(), message.id.clone()),
            message,
        );
        assert!(known.is_none(), "one identity twice: {known:?}");
        Ok(())
    }
}

fn made(path: &Path, messages: u32) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA synchronous=OFF; PRAGMA page_size=4096; BEGIN")
        .unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
        .execute_batch(&format!(
            "CREATE TABLE message_add_on_poll_vote_selected_option(_id INTEGER PRIMARY KEY,message_add_on_row_id INTEGER,message_poll_option_id INTEGER);
            CREATE TABLE numbers(value INTEGER PRIMARY KEY);
            WITH RECURSIVE c(v) AS (SELECT 1 UNION ALL SELECT v+1 FROM c WHERE v<{messages}) INSERT INTO numbers SELECT v FROM c;
            INSERT INTO jid(_id,user,server,raw_string) SELECT value,'x','y',(15550000000+value)||'@s.whatsapp.net' FROM numbers LIMIT 40;
            INSERT INTO jid(_id,user,server,raw_string) VALUES (41,'9','lid','9@lid');
            INSERT INTO chat(_id,jid_row_id) SELECT value,value FROM numbers LIMIT 20;
            INSERT INTO message(_id,chat_row_id,from_me,key_id,sender_jid_row_id,timestamp,message_type,text_data,sort_id)
              SELECT value,1+value%20,value%3=0,'K'||value,1+value%40,value*1000,CASE WHEN value%100=9 THEN 66 ELSE 0 END,
              CASE WHEN value%500=1 THEN printf('%.9000c','x') ELSE 'text number '||value END,value FROM numbers;
            INSERT INTO message_add_on(_id,chat_row_id,from_me,key_id,sender_jid_row_id,parent_message_row_id,timestamp,message_add_on_type)
              SELECT value/10,1+value%20,0,'R'||value,2,value,value,56 FROM numbers WHERE value%10=0;
            INSERT INTO message_add_on_reaction SELECT _id,'👍',timestamp FROM message_add_on;
            INSERT INTO message_poll(message_row_id,selectable_options_count) SELECT value,1 FROM numbers WHERE value%100=9;
            INSERT INTO message_poll_option(message_row_id,option_name,vote_total) SELECT value,'yes',0 FROM numbers WHERE value%100=9;
            INSERT INTO call_log(jid_row_id,from_me,call_id,timestamp,duration) VALUES (3,0,'c',5,9);
            DROP TABLE numbers; COMMIT"
        ))
        .unwrap();
}

fn map(path: &Path) -> PageMap {
    AndroidFolder::open(path, None)
        .unwrap()
        .page_map(&KEY)
        .unwrap()
        .unwrap()
}

fn full(path: &Path) -> Archive {
    let mut archive = Archive::default();
    AndroidFolder::open(path, None)
        .unwrap()
        .read(&mut archive)
        .unwrap();
    archive
}

/// What an engine does: forget all that lay in the rows, take what lies there now.
///
/// The rows of old messages are told by their ids: see `made`.
fn updated(path: &Path, old: &PageMap, archive: &Archive) -> Option<(Archive, RowRanges)> {
    let mut folder = AndroidFolder::open(path, None).unwrap();
    let new = folder.page_map(&KEY).unwrap()?;
    let rows = folder.changed_rows(old, &new).unwrap()?;
    let mut updated = archive.clone();
    updated
        .messages
        .retain(|(_, _, id), _| match id.strip_prefix('K') {
            Some(row) => !rows.contains(row.split('/').next().unwrap().parse().unwrap()),
            None => !rows.contains(-1),
        });
    folder.read_rows(&rows, &mut updated).unwrap();
    Some((updated, rows))
}

fn run(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// Runs `sql` on a database of 3,000 messages; the rows that were read again, all else being as in a full read.
fn after(sql: &str) -> Option<RowRanges> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("msgstore.db");
    made(&path, 3000);
    let (old, before) = (map(&path), full(&path));
    assert_eq!(PageMap::decode(&old.encode()).unwrap(), old);
    run(&path, sql);
    let (archive, rows) = updated(&path, &old, &before)?;
    let expected = full(&path);
    assert_eq!(archive.messages.len(), expected.messages.len(), "{sql}");
    for (identity, message) in &expected.messages {
        assert_eq!(archive.messages.get(identity), Some(message), "{sql}");
    }
    Some(rows)
}

fn count(rows: &RowRanges) -> i64 {
    rows.messages()
        .iter()
        .map(|range| (*range.end()).min(4000) - (*range.start()).max(0) + 1)
        .sum()
}

#[test]
fn nothing_changed_means_no_row() {
    assert!(after("SELECT 1").unwrap().is_empty());
}

#[test]
fn a_change_anywhere_is_read_again_and_little_else() {
    for (sql, row) in [
        ("UPDATE message SET text_data='edited' WHERE _id=5; INSERT INTO message_edit_info VALUES (5,'K5',1,1)", 5),
        ("INSERT INTO message(_id,chat_row_id,from_me,key_id,timestamp,message_type,text_data) VALUES (3001,1,1,'K3001',1,0,'new')", 3001),
        ("DELETE FROM message WHERE _id=7", 7),
        ("DELETE FROM message WHERE _id=3000", 3000),
        ("UPDATE message_add_on_reaction SET reaction='x' WHERE message_add_on_row_id=1", 10),
        ("DELETE FROM message_add_on WHERE _id=1; DELETE FROM message_add_on_reaction WHERE message_add_on_row_id=1", 10),
        ("DELETE FROM message_add_on_reaction WHERE message_add_on_row_id=1", 10),
        ("INSERT INTO message_add_on(chat_row_id,from_me,parent_message_row_id,message_add_on_type) VALUES (1,1,3,56);
          INSERT INTO message_add_on_reaction VALUES (last_insert_rowid(),'!',1)", 3),
        ("INSERT INTO message_revoked VALUES (2,'K2',NULL,5); UPDATE message SET message_type=15,text_data=NULL WHERE _id=2", 2),
        ("INSERT INTO message_add_on(_id,chat_row_id,from_me,parent_message_row_id,message_add_on_type) VALUES (999,1,1,9,67);
          INSERT INTO message_add_on_poll_vote_selected_option VALUES (1,999,1)", 9),
        ("UPDATE message_poll_option SET vote_total=4 WHERE _id=1", 9),
        ("INSERT INTO receipt_user(message_row_id,receipt_user_jid_row_id,read_timestamp) VALUES (4,3,5)", 4),
        ("INSERT INTO message_vcard(message_row_id,vcard) VALUES (6,'x')", 6),
        ("INSERT INTO message_quoted(message_row_id,chat_row_id,parent_message_chat_row_id,from_me,key_id) VALUES (8,1,1,0,'K1')", 8),
        ("UPDATE call_log SET duration=7", -1),
    ] {
        let rows = after(sql).unwrap_or_else(|| panic!("all of it: {sql}"));
        assert!(rows.contains(row), "{sql}: {rows:?}");
        assert!(count(&rows) < 700, "{sql}: {}", count(&rows));
    }
}

#[test]
fn an_edit_at_the_end_of_a_long_text_is_seen() {
    // The text lies on overflow pages; the page of its row may stay as it was.
    let rows =
        after("UPDATE message SET text_data=substr(text_data,1,8999)||'y' WHERE _id=501").unwrap();
    assert!(rows.contains(501));
}

#[test]
fn a_vacuum_costs_a_full_read_at_most_and_loses_nothing() {
    after("DELETE FROM message WHERE _id%2=0; VACUUM");
    after("VACUUM");
}

#[test]
fn what_cannot_be_followed_is_read_in_full() {
    assert_eq!(after("ALTER TABLE message ADD COLUMN other INTEGER"), None);
    assert_eq!(
        after("UPDATE message SET key_id='K'||_id, sort_id=sort_id+1, text_data='all'"),
        None
    );
    // An id now stands for another person, in every message of theirs.
    assert_eq!(after("INSERT INTO jid_map VALUES (41, 3, 0)"), None);
    assert_eq!(
        after("UPDATE jid SET raw_string='other@s.whatsapp.net' WHERE _id=1"),
        None
    );
    assert_eq!(after("UPDATE chat SET jid_row_id=39 WHERE _id=2"), None);
    // Those of new people and conversations touch no old message.
    assert!(after("INSERT INTO jid(_id,user,server,raw_string) VALUES (50,'z','z','z@lid'); INSERT INTO jid_map VALUES (50,3,0);
        INSERT INTO chat(_id,jid_row_id) VALUES (21,40)").is_some());
}

#[test]
fn another_database_in_its_place_is_read_in_full() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (
        dir.path().join("msgstore.db"),
        dir.path().join("msgstore-other.db"),
    );
    made(&one, 2000);
    made(&two, 2000);
    run(&two, "UPDATE message SET text_data='not '||text_data");
    let old = map(&one);
    assert!(updated(&two, &old, &full(&one)).is_none());
    // Maps of different keys have nothing in common.
    let folder = AndroidFolder::open(&one, None).unwrap();
    let other = folder.page_map(&[8; 32]).unwrap().unwrap();
    assert_eq!(folder.changed_rows(&old, &other).unwrap(), None);
}

#[test]
fn the_real_folder_has_a_map_that_is_small() {
    let Some(path) = crate::testing::shared("corpus/_built/dev/msgstore/msgstore.db") else {
        return;
    };
    let folder = AndroidFolder::open(&path, None).unwrap();
    let map = folder.page_map(&KEY).unwrap().unwrap();
    assert!(folder.changed_rows(&map, &map).unwrap().unwrap().is_empty());
    assert!(map.encode().len() < 10_000, "{}", map.encode().len());
    let rows: i64 = map.tables[0]
        .1
        .iter()
        .map(|leaf| leaf.last - leaf.first + 1)
        .sum();
    assert_eq!(rows, 8275);
}

#[test]
fn nonsense_is_no_map() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("msgstore.db");
    made(&path, 200);
    let bytes = map(&path).encode();
    for cut in 0..bytes.len() {
        assert_eq!(PageMap::decode(&bytes[..cut]), None);
    }
    assert_eq!(PageMap::decode(&[&bytes[..], b"x"].concat()), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_changes_give_what_a_full_read_gives(
        edits in proptest::collection::vec((0u8..8, 1u32..800), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("msgstore.db");
        made(&path, 800);
        let (old, before) = (map(&path), full(&path));
        let sql: Vec<String> = edits.into_iter().map(|(kind, row)| match kind {
                0 => format!("UPDATE message SET text_data=text_data||'!' WHERE _id={row};"),
                1 => format!("DELETE FROM message WHERE _id={row};"),
                2 => format!("DELETE FROM message_add_on WHERE _id={row};"),
                3 => format!("INSERT INTO message_add_on(chat_row_id,from_me,parent_message_row_id,message_add_on_type) VALUES (1,1,{row},56);INSERT OR REPLACE INTO message_add_on_reaction VALUES (last_insert_rowid(),'!',1);"),
                4 => format!("INSERT OR REPLACE INTO message(_id,chat_row_id,from_me,key_id,message_type,text_data) VALUES ({0},1,1,'K{0}',0,'new');", row + 800),
                5 => format!("UPDATE message SET text_data=printf('%.6000c','z') WHERE _id={row};"),
                6 => format!("INSERT OR REPLACE INTO message_revoked VALUES ({row},'x',3,5);"),
                _ => format!("UPDATE message_add_on SET parent_message_row_id={row} WHERE _id={};", row / 10),
            }).collect();
        run(&path, &format!("PRAGMA synchronous=OFF;{}", sql.concat()));
        if let Some((archive, _)) = updated(&path, &old, &before) {
            let expected = full(&path);
            prop_assert_eq!(archive.messages, expected.messages);
        }
    }

    #[test]
    fn a_damaged_database_never_panics(flips in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("msgstore.db");
        made(&path, 300);
        let old = map(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, value) in flips {
            let at = usize::try_from(at).unwrap() % bytes.len();
            bytes[at] ^= value;
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(folder) = AndroidFolder::open(&path, None)
            && let Ok(Some(new)) = folder.page_map(&KEY)
        {
            let _ = folder.changed_rows(&old, &new);
        }
    }
}

#[test]
fn pages_that_are_hashed_while_rows_are_read_give_the_same_map() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("msgstore.db");
    made(&path, 3000);
    let mut folder = AndroidFolder::open(&path, None).unwrap();
    let beside = folder.page_map_beside(&KEY).unwrap().unwrap();
    let mut hashes = MessagePages::new(&KEY);
    let wanted = Wanted {
        rows: &RowRanges::all(),
        hashes: Some(&mut hashes),
    };
    folder
        .read_some(wanted, &mut Archive::default(), &mut Tally::default())
        .unwrap();
    let whole = PageMap::encoded_with_messages(&beside.encode(), &hashes.leaves.unwrap());
    assert_eq!(whole.unwrap(), map(&path).encode());
}

#[test]
fn of_a_broken_page_sqlite_says_so_and_what_lies_before_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("msgstore.db");
    made(&path, 3000);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes
        .windows(16)
        .position(|window| window == b"text number 2000")
        .unwrap();
    bytes[at / 4096 * 4096] = 0xEE;
    std::fs::write(&path, bytes).unwrap();
    let mut archive = Archive::default();
    let error = AndroidFolder::open(&path, None)
        .unwrap()
        .read(&mut archive)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("its pages are not what they were"),
        "{error}"
    );
    assert!(archive.messages.len() > 1500 && archive.messages.len() < 2000);
}
