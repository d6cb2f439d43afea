//! What the tests of the Android folder share.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use heirloom_archive::{
    Conversation, ConversationRef, Message, Participant, Report, Sink, SinkError, Source,
    SourceError,
};
use rusqlite::Connection;

pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HEIRLOOM_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    assert!(
        std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_none(),
        "../shared is absent"
    );
    println!("skipped: ../shared is absent");
    None
}

/// Everything that a source gave.
#[derive(Default, Debug)]
pub(crate) struct Collected {
    pub(crate) participants: BTreeMap<String, Participant>,
    pub(crate) conversations: BTreeMap<String, Conversation>,
    pub(crate) ids: Vec<String>,
    pub(crate) messages: Vec<(u32, Message)>,
    pub(crate) report: Report,
}

impl Sink for Collected {
    fn participant(&mut self, participant: Participant) -> Result<(), SinkError> {
        self.participants
            .insert(participant.id.clone(), participant);
        Ok(())
    }

    fn conversation(&mut self, conversation: Conversation) -> Result<ConversationRef, SinkError> {
        let id = conversation.id.clone();
        self.conversations.insert(id.clone(), conversation);
        let at = self
            .ids
            .iter()
            .position(|known| *known == id)
            .unwrap_or_else(|| {
                self.ids.push(id);
                self.ids.len() - 1
            });
        Ok(ConversationRef(u32::try_from(at).unwrap()))
    }

    fn message(
        &mut self,
        conversation: ConversationRef,
        message: Message,
    ) -> Result<(), SinkError> {
        assert!(!message.id.is_empty());
        self.messages.push((conversation.0, message));
        Ok(())
    }
}

pub(crate) fn collect_result(source: &mut dyn Source) -> Result<Collected, SourceError> {
    let mut collected = Collected::default();
    collected.report = source.read(&mut collected)?;
    Ok(collected)
}

pub(crate) fn collect(source: &mut dyn Source) -> Collected {
    collect_result(source).unwrap()
}

pub(crate) fn sql_database(path: &Path, parts: &[&str]) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA synchronous=OFF").unwrap();
    for part in parts {
        connection.execute_batch(part).unwrap();
    }
}

/// The tables that are read, with WhatsApp's columns.
pub(crate) const MODERN: &str = "
CREATE TABLE jid(_id INTEGER PRIMARY KEY AUTOINCREMENT,user TEXT,server TEXT,type INTEGER,raw_string TEXT);
CREATE TABLE jid_map(lid_row_id INTEGER PRIMARY KEY NOT NULL,jid_row_id INTEGER NOT NULL,sort_id INTEGER DEFAULT 0);
CREATE TABLE lid_display_name(lid_row_id INTEGER PRIMARY KEY,display_name TEXT,username TEXT);
CREATE TABLE chat(_id INTEGER PRIMARY KEY AUTOINCREMENT,jid_row_id INTEGER UNIQUE,subject TEXT,created_timestamp INTEGER,archived INTEGER);
CREATE TABLE message(_id INTEGER PRIMARY KEY AUTOINCREMENT,chat_row_id INTEGER NOT NULL,from_me INTEGER NOT NULL,key_id TEXT NOT NULL,sender_jid_row_id INTEGER,status INTEGER,origin INTEGER,timestamp INTEGER,received_timestamp INTEGER,message_type INTEGER,text_data TEXT,starred INTEGER);
CREATE TABLE message_media(message_row_id INTEGER PRIMARY KEY,file_path TEXT,file_size INTEGER,mime_type TEXT,media_caption TEXT,file_hash TEXT,media_duration INTEGER,width INTEGER,height INTEGER);
CREATE TABLE message_quoted(message_row_id INTEGER PRIMARY KEY,from_me INTEGER,sender_jid_row_id INTEGER,key_id TEXT,text_data TEXT);
CREATE TABLE message_add_on(_id INTEGER PRIMARY KEY AUTOINCREMENT,chat_row_id INTEGER,from_me INTEGER,key_id TEXT,sender_jid_row_id INTEGER,parent_message_row_id INTEGER,timestamp INTEGER,message_add_on_type INTEGER);
CREATE TABLE message_add_on_reaction(message_add_on_row_id INTEGER PRIMARY KEY,reaction TEXT,sender_timestamp INTEGER);
CREATE TABLE message_add_on_poll_vote_selected_option(_id INTEGER PRIMARY KEY AUTOINCREMENT,message_add_on_row_id INTEGER,message_poll_option_id INTEGER);
CREATE TABLE message_edit_info(message_row_id INTEGER PRIMARY KEY,original_key_id TEXT,edited_timestamp INTEGER);
CREATE TABLE message_revoked(message_row_id INTEGER PRIMARY KEY,revoked_key_id TEXT,admin_jid_row_id INTEGER,revoke_timestamp INTEGER);
CREATE TABLE message_location(message_row_id INTEGER PRIMARY KEY,latitude REAL,longitude REAL,place_name TEXT,place_address TEXT,url TEXT,live_location_share_duration INTEGER);
CREATE TABLE message_poll(message_row_id INTEGER PRIMARY KEY,selectable_options_count INTEGER);
CREATE TABLE message_poll_option(_id INTEGER PRIMARY KEY AUTOINCREMENT,message_row_id INTEGER,option_name TEXT,vote_total INTEGER);
CREATE TABLE message_system(message_row_id INTEGER PRIMARY KEY,action_type INTEGER NOT NULL);
CREATE TABLE message_system_number_change(message_row_id INTEGER PRIMARY KEY,old_jid_row_id INTEGER,new_jid_row_id INTEGER);
CREATE TABLE message_future(message_row_id INTEGER PRIMARY KEY,version INTEGER,data BLOB);
CREATE TABLE message_vcard(_id INTEGER PRIMARY KEY AUTOINCREMENT,message_row_id INTEGER,vcard TEXT);
CREATE TABLE message_forwarded(message_row_id INTEGER PRIMARY KEY,forward_score INTEGER);
CREATE TABLE message_view_once_media(message_row_id INTEGER PRIMARY KEY,state INTEGER);
CREATE TABLE missed_call_logs(_id INTEGER PRIMARY KEY AUTOINCREMENT,message_row_id INTEGER,timestamp INTEGER,video_call INTEGER);
CREATE TABLE call_log(_id INTEGER PRIMARY KEY AUTOINCREMENT,jid_row_id INTEGER,from_me INTEGER,call_id TEXT,timestamp INTEGER,video_call INTEGER,duration INTEGER,group_jid_row_id INTEGER DEFAULT 0);
CREATE TABLE receipt_user(_id INTEGER PRIMARY KEY AUTOINCREMENT,message_row_id INTEGER,receipt_user_jid_row_id INTEGER,receipt_timestamp INTEGER,read_timestamp INTEGER,played_timestamp INTEGER);
";

/// One row of each kind.
const ROWS: &str = "
INSERT INTO jid(_id, raw_string) VALUES (1,'15550000001@s.whatsapp.net'),(2,'15550000002@s.whatsapp.net'),(3,'777@lid'),(4,'12345-678@g.us');
INSERT INTO jid_map(lid_row_id, jid_row_id) VALUES (3,2);
INSERT INTO chat(_id,jid_row_id,subject) VALUES (1,1,NULL),(2,4,'Family');
INSERT INTO message(_id,chat_row_id,from_me,key_id,sender_jid_row_id,timestamp,message_type,text_data,starred) VALUES
(1,-1,0,'-1',NULL,NULL,NULL,NULL,0),
(2,1,0,'PIC',0,1700000000000,1,NULL,1),
(3,2,1,'POLL',0,1700000001000,66,'Lunch?',0),
(4,1,1,'REPLY',0,1700000002000,0,'nice',0),
(5,2,0,'LIVE',3,1700000003000,16,NULL,0),
(6,2,0,'CARD',1,1700000004000,4,NULL,0),
(7,2,0,'GONE',1,1700000005000,15,NULL,0),
(8,2,0,'EVENT',1,1700000006000,7,NULL,0),
(9,1,0,'CALL',0,1700000007000,10,NULL,0),
(10,1,0,'ONCE',0,1700000008000,42,NULL,0),
(11,2,0,'NEW',1,1700000009000,91,'what is this',0);
INSERT INTO message_media(message_row_id,file_path,mime_type,media_caption) VALUES (2,'Media/WhatsApp Images/a.jpg','image/jpeg','look');
INSERT INTO message_add_on(_id,chat_row_id,from_me,key_id,sender_jid_row_id,parent_message_row_id,timestamp,message_add_on_type) VALUES
(1,1,1,'R1',-1,2,1,56),(2,1,0,'R2',-1,2,2,56),(3,1,0,'R3',0,2,3,56),(4,2,0,'V',1,3,4,67);
INSERT INTO message_add_on_reaction VALUES (1,'❤',5),(2,'👍',6),(3,'',7);
INSERT INTO message_poll VALUES (3,1);
INSERT INTO message_poll_option(_id,message_row_id,option_name,vote_total) VALUES (10,3,'Bread',0),(11,3,'Soup',0);
INSERT INTO message_add_on_poll_vote_selected_option VALUES (1,4,11);
INSERT INTO message_quoted VALUES (4,0,0,'PIC','look');
INSERT INTO message_edit_info VALUES (2,'PIC',1234);
INSERT INTO message_revoked VALUES (7,'GONE',NULL,99);
INSERT INTO message_location VALUES (5,51.5,-0.1,NULL,NULL,NULL,900);
INSERT INTO message_system VALUES (8,10);
INSERT INTO message_system_number_change VALUES (8,1,3);
INSERT INTO message_future VALUES (11,1,x'0102');
INSERT INTO message_vcard VALUES (1,6,'BEGIN:VCARD
FN:Ana
END:VCARD');
INSERT INTO message_forwarded VALUES (2,1);
INSERT INTO message_view_once_media VALUES (10,1);
INSERT INTO missed_call_logs VALUES (1,9,1,1);
INSERT INTO call_log(_id,jid_row_id,from_me,call_id,timestamp,video_call,duration) VALUES (1,1,1,'call:X',5,0,61);
INSERT INTO receipt_user VALUES (1,2,1,66,77,0);
";

/// A folder with a database that has one of everything, and a picture.
pub(crate) fn small_folder(root: &Path) {
    fs::create_dir_all(root.join("WhatsApp/Media/WhatsApp Images")).unwrap();
    fs::write(root.join("WhatsApp/Media/WhatsApp Images/a.jpg"), b"jpeg").unwrap();
    sql_database(&root.join("msgstore.db"), &[MODERN, ROWS]);
}
