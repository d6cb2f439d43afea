//! Reads a folder of `WhatsApp` for Android into nothing, and says how long that took.
//!
//! `cargo run --release -p heirloom-importers --example read_speed -- DIR`
//! `cargo run --release -p heirloom-importers --example read_speed -- DIR --make MESSAGES` writes one first.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use heirloom_archive::report::Kind;
use heirloom_archive::{
    Conversation, ConversationRef, Message, Participant, Sink, SinkError, Source,
};
use heirloom_importers::whatsapp::android::{AndroidFolder, RowRanges};
use rusqlite::Connection;

#[derive(Default)]
struct Count {
    conversations: u32,
    text_bytes: usize,
}

impl Sink for Count {
    fn participant(&mut self, _: Participant) -> Result<(), SinkError> {
        Ok(())
    }

    fn conversation(&mut self, _: Conversation) -> Result<ConversationRef, SinkError> {
        self.conversations += 1;
        Ok(ConversationRef(self.conversations))
    }

    fn message(&mut self, _: ConversationRef, message: Message) -> Result<(), SinkError> {
        self.text_bytes += message.text.len();
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("name a folder")?;
    if arguments.next().as_deref() == Some("--make") {
        let messages = arguments.next().ok_or("say how many messages")?.parse()?;
        make(&Path::new(&dir).join("msgstore.db"), messages)?;
    }
    let begun = Instant::now();
    let mut folder = AndroidFolder::open(Path::new(&dir), None)?;
    let mut count = Count::default();
    let report = folder.read(&mut count)?;
    println!(
        "{} messages, {} conversations, {} bytes of text in {:.3} s",
        report.counts(Kind::Messages).taken,
        count.conversations,
        count.text_bytes,
        begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    if let Some(map) = folder.page_map(&[1; 32])? {
        let bytes = map.encode().len();
        let hashed = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let rows = folder.changed_rows(&map, &map)?;
        let compared = begun.elapsed().as_secs_f64();
        println!(
            "page map of {bytes} bytes in {hashed:.3} s, compared in {compared:.3} s, changed: {rows:?}"
        );
        let begun = Instant::now();
        let some = RowRanges::of(
            (0..250)
                .map(|n| n * 3000..=n * 3000 + 20)
                .chain([900_000..=902_000]),
        );
        let report = folder.read_rows(&some, &mut count)?;
        let read = report.counts(Kind::Messages).taken;
        println!(
            "{read} messages of 251 places in {:.3} s",
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// A database with the shape of a real one: many chats, a quote in 50, a reaction in 60, a medium in 25.
fn make(path: &Path, messages: u64) -> Result<(), Box<dyn Error>> {
    let connection = Connection::open(path)?;
    connection.execute_batch(include_str!("read_speed.sql"))?;
    let fill = "BEGIN;
        INSERT INTO jid(_id,user,server,raw_string)
            SELECT value, 15550000000+value, 's.whatsapp.net', (15550000000+value)||'@s.whatsapp.net' FROM generate(1,2000);
        INSERT INTO chat(_id,jid_row_id) SELECT value, value FROM generate(1,400);
        INSERT INTO message(_id,chat_row_id,from_me,key_id,sender_jid_row_id,status,timestamp,received_timestamp,
            message_type,text_data,starred,sort_id)
            SELECT value, 1+abs(random())%400, value%3=0, hex(randomblob(16)), 1+abs(random())%2000, 0,
            1500000000000+value*60000, 1500000000500+value*60000, CASE WHEN value%25=7 THEN 1 ELSE 0 END,
            CASE WHEN value%25=7 THEN NULL ELSE substr($TEXT$, 1, 5+abs(random())%90) END, 0, value FROM generate(2,$N$);
        INSERT INTO message_media(message_row_id,file_path,mime_type,file_hash,file_size)
            SELECT _id, 'Media/WhatsApp Images/IMG-'||_id||'.jpg','image/jpeg',
            'vHW8KQ6LbAtpeQVH3ClwlDFot6dXIWk9o3bWtwNeVi8=', 1000 FROM message WHERE message_type=1;
        INSERT INTO message_quoted(message_row_id,chat_row_id,parent_message_chat_row_id,from_me,key_id,text_data)
            SELECT _id, chat_row_id, chat_row_id, 0, hex(randomblob(16)), text_data FROM message WHERE _id%50=3;
        INSERT INTO message_add_on(chat_row_id,from_me,key_id,sender_jid_row_id,parent_message_row_id,timestamp,message_add_on_type)
            SELECT chat_row_id, 0, 'R'||_id, sender_jid_row_id, _id, timestamp, 56 FROM message WHERE _id%60=5;
        INSERT INTO message_add_on_reaction SELECT _id, '👍', timestamp FROM message_add_on;
        COMMIT;";
    let text = "'the quick brown fox jumps over the lazy dog and then it sleeps for a while in the warm autumn sun'";
    let mut sql = fill
        .replace("$TEXT$", text)
        .replace("$N$", &messages.to_string());
    while let Some(at) = sql.find("generate(") {
        let end = at + sql[at..].find(')').ok_or("a bracket")?;
        let (from, to) = sql[at + 9..end].split_once(',').ok_or("a comma")?;
        let rows = format!(
            "(WITH RECURSIVE c(value) AS (SELECT {from} UNION ALL SELECT value+1 FROM c WHERE value<{to}) SELECT value FROM c)"
        );
        sql.replace_range(at..=end, &rows);
    }
    connection.execute_batch(&sql)?;
    Ok(())
}
