use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use heirloom_archive::{
    Conversation, ConversationRef, Message, Participant, SinkError, Source as _,
};
use rusqlite::Connection;

use super::*;

const KEY: [u8; 32] = [3; 32];
const SCHEMA: &str = include_str!("../../../../examples/read_speed.sql");

/// All messages by conversation, author and id; what comes again replaces what was known.
#[derive(Default, Clone, PartialEq, Debug)]
struct Archive {
    conversations: Vec<String>,
    messages: BTreeMap<(String, String, String), Message>,
    given: usize,
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
        let identity = (conversation, message.author.clone(), message.id.clone());
        self.messages.insert(identity, message);
        self.given += 1;
        Ok(())
    }
}

/// A folder with 3,000 messages, pictures of which every other one is there, and a call without a message.
fn made(folder: &Path) {
    fs::create_dir_all(folder.join("Media/WhatsApp Images")).unwrap();
    let connection = Connection::open(folder.join("msgstore.db")).unwrap();
    connection
        .execute_batch("PRAGMA synchronous=OFF; BEGIN")
        .unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE n(v INTEGER PRIMARY KEY);
            WITH RECURSIVE c(v) AS (SELECT 1 UNION ALL SELECT v+1 FROM c WHERE v<3000) INSERT INTO n SELECT v FROM c;
            INSERT INTO jid(_id,user,server,raw_string) SELECT v,'x','y',(15550000000+v)||'@s.whatsapp.net' FROM n LIMIT 40;
            INSERT INTO chat(_id,jid_row_id) SELECT v,v FROM n LIMIT 20;
            INSERT INTO message(_id,chat_row_id,from_me,key_id,sender_jid_row_id,timestamp,message_type,text_data,sort_id)
              SELECT v,1+v%20,v%3=0,'K'||v,1+v%40,v*1000,CASE WHEN v%50=7 THEN 1 ELSE 0 END,'text number '||v,v FROM n;
            INSERT INTO message_media(message_row_id,file_path,mime_type)
              SELECT v,'Media/WhatsApp Images/'||v||'.jpg','image/jpeg' FROM n WHERE v%50=7;
            INSERT INTO call_log(jid_row_id,from_me,call_id,timestamp,duration) VALUES (3,0,'c',5,9);
            DROP TABLE n; COMMIT",
        )
        .unwrap();
    for number in (7..3000).step_by(100) {
        fs::write(picture(folder, number), number.to_string()).unwrap();
    }
}

fn picture(folder: &Path, number: u32) -> std::path::PathBuf {
    folder.join(format!("Media/WhatsApp Images/{number}.jpg"))
}

fn run(folder: &Path, sql: &str) {
    Connection::open(folder.join("msgstore.db"))
        .unwrap()
        .execute_batch(sql)
        .unwrap();
}

fn read(folder: &Path, mark: Option<&[u8]>, archive: &mut Archive) -> Reading {
    archive.given = 0;
    let mut opened = AndroidFolder::open(folder, None).unwrap();
    opened.read_since(mark, &KEY, archive).unwrap()
}

/// What comes after `change` when only that is read, and when everything is, with the numbers of each.
fn after(change: impl Fn(&Path)) -> (Reading, Archive, Reading, Archive) {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let mut archive = Archive::default();
    let first = read(dir.path(), None, &mut archive);
    assert!(first.whole);
    let mark = first.mark.unwrap();
    change(dir.path());
    let part = read(dir.path(), Some(&mark), &mut archive);
    let mut all = Archive::default();
    let whole = read(dir.path(), None, &mut all);
    (part, archive, whole, all)
}

#[test]
fn what_changed_is_read_and_the_numbers_are_those_of_the_whole() {
    let new = "INSERT INTO message(_id,chat_row_id,from_me,key_id,timestamp,message_type,text_data) VALUES (3001,1,1,'K3001',1,0,'new')";
    let picture_comes = "INSERT INTO message(_id,chat_row_id,from_me,key_id,timestamp,message_type) VALUES (3007,1,1,'K3007',1,1);
        INSERT INTO message_media(message_row_id,file_path) VALUES (3007,'Media/WhatsApp Images/3007.jpg')";
    let revoked = "INSERT INTO message_revoked VALUES (2,'K2',NULL,5); UPDATE message SET message_type=15,text_data=NULL WHERE _id=2";
    for sql in [
        "UPDATE message SET text_data='edited' WHERE _id=5",
        new,
        picture_comes,
        revoked,
        "INSERT INTO call_log(jid_row_id,from_me,call_id,timestamp,duration) VALUES (4,0,'d',6,9)",
        "INSERT INTO jid(_id,user,server,raw_string) VALUES (60,'n','y','n@s.whatsapp.net'); INSERT INTO chat(_id,jid_row_id) VALUES (30,60)",
        "UPDATE message_media SET mime_type='image/png' WHERE message_row_id=107",
    ] {
        let (part, archive, whole, all) = after(|folder| run(folder, sql));
        assert!(!part.whole, "{sql}");
        assert!(archive.given < 400, "{sql}: {}", archive.given);
        assert_eq!(part.report, whole.report, "{sql}");
        assert_eq!(archive.messages, all.messages, "{sql}");
        assert_eq!(part.mark, whole.mark, "{sql}");
    }
}

#[test]
fn a_file_that_comes_goes_or_changes_is_seen_without_the_database() {
    let come = |folder: &Path| fs::write(picture(folder, 57), "it came late").unwrap();
    let gone = |folder: &Path| fs::remove_file(picture(folder, 107)).unwrap();
    let other = |folder: &Path| fs::write(picture(folder, 207), "another picture").unwrap();
    let changes: [&dyn Fn(&Path); 3] = [&come, &gone, &other];
    for change in changes {
        let (part, archive, whole, all) = after(change);
        assert!(!part.whole);
        assert_eq!(archive.given, 1);
        assert_eq!(part.report, whole.report);
        assert_eq!(archive.messages, all.messages);
    }
}

#[test]
fn a_message_that_went_is_counted_no_more() {
    let (part, archive, whole, all) =
        after(|folder| run(folder, "DELETE FROM message WHERE _id IN (7, 8, 3000)"));
    assert!(!part.whole);
    assert_eq!(part.report, whole.report);
    // The archive keeps it: what a source deletes, a backup does not.
    assert_eq!(archive.messages.len(), all.messages.len() + 3);
}

#[test]
fn what_cannot_be_followed_is_read_as_a_whole() {
    for sql in [
        "ALTER TABLE message ADD COLUMN other INTEGER",
        "UPDATE message SET text_data='all'",
        "UPDATE chat SET jid_row_id=39 WHERE _id=2",
    ] {
        let (part, _, whole, _) = after(|folder| run(folder, sql));
        assert!(part.whole, "{sql}");
        assert_eq!(part.report, whole.report);
    }
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let mark = read(dir.path(), None, &mut Archive::default())
        .mark
        .unwrap();
    for cut in [0, 1, 9, mark.len() / 2, mark.len() - 1] {
        assert!(read(dir.path(), Some(&mark[..cut]), &mut Archive::default()).whole);
    }
    assert_eq!(Mark::decode(&mark).unwrap().encode(), mark);
}

#[test]
fn a_folder_of_which_something_was_left_out_has_no_mark() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    run(
        dir.path(),
        "UPDATE message_media SET file_path='../../secret' WHERE message_row_id=107",
    );
    let reading = read(dir.path(), None, &mut Archive::default());
    assert_eq!(reading.mark, None);
    assert!(reading.report.skips().next().is_some());
}
