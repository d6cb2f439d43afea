//! A deterministic generator of WhatsApp folders as an Android phone has them.

mod media;
mod rng;
mod schema;
mod words;
mod world;
mod writer;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, params};
use serde::Serialize;

use media::{Made, Maker};
use rng::Rng;
use words::Vocabulary;
use world::{World, whole};
use writer::{Writer, Written};

/// How much to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) messages: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Percent of the media bytes that repeat another file under another name.
    pub(crate) copied: u64,
    /// Edits of rows that were there before; half as many reactions, a fifth as many deletions.
    pub(crate) edits: u64,
}

impl Amount {
    pub(crate) const SMALL: Self = Self {
        messages: 50_000,
        files: 696,
        bytes: 300_000_000,
        copied: 15,
        edits: 0,
    };
    pub(crate) const LARGE: Self = Self {
        messages: 1_000_000,
        files: 4_045,
        bytes: 2_000_000_000,
        copied: 15,
        edits: 0,
    };
    pub(crate) const NEXT_DAY: Self = Self {
        messages: 2_000,
        files: 40,
        bytes: 60_000_000,
        copied: 0,
        edits: 50,
    };
}

/// What was made.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    #[serde(flatten)]
    pub(crate) written: Written,
    pub(crate) media_files: u64,
    pub(crate) media_bytes: u64,
    pub(crate) unique_media_bytes: u64,
    pub(crate) database_bytes: u64,
    pub(crate) seconds: f64,
}

/// 1 January 2018, in milliseconds, and eight years.
const START: i64 = 1_514_764_800_000;
const SPAN: u64 = 8 * 365 * 86_400_000;

/// Makes a new folder.
pub(crate) fn folder(dir: &Path, amount: Amount, seed: u64) -> Result<Summary> {
    let begun = std::time::Instant::now();
    ensure!(
        !dir.join("msgstore.db").exists(),
        "{} holds a msgstore.db already",
        dir.display()
    );
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let words = Vocabulary::new();
    let mut rng = Rng::new(seed);
    let mut db = Connection::open(dir.join("msgstore.db"))?;
    db.execute_batch(
        "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000;",
    )?;
    db.execute_batch(schema::MESSAGES)?;
    // Before the rows, so that the pages are as full as a phone's.
    db.execute_batch(schema::INDEXES)?;
    let mut contacts = Connection::open(dir.join("wa.db"))?;
    contacts.execute_batch(schema::CONTACTS)?;
    let contacts_tx = contacts.transaction()?;
    let tx = db.transaction()?;
    let mut world = World::create(&tx, &contacts_tx, &words, START, &mut rng)?;
    contacts_tx.commit()?;
    let mut written = Written::default();
    let mut writer = Writer::new(&tx, &words)?;
    for chat in world.chats.iter().filter(|chat| chat.group) {
        writer.group_created(chat, START, &mut rng, &mut written)?;
    }
    let rest = Amount {
        messages: amount.messages.saturating_sub(written.messages),
        ..amount
    };
    let pace = Pace {
        start: START + 1_000,
        step: SPAN / rest.messages.max(1),
        run: 9,
        serial: 1,
    };
    let media = talk(
        dir,
        &mut writer,
        &mut world,
        rest,
        pace,
        &mut rng,
        &mut written,
    )?;
    drop(writer);
    newest(&tx, &world)?;
    tx.commit()?;
    db.execute_batch("PRAGMA journal_mode=DELETE;")?;
    db.close().map_err(|(_, error)| error)?;
    summary(dir, written, &media, begun)
}

/// Adds a day to a folder that [`folder`] made.
pub(crate) fn next_day(dir: &Path, amount: Amount, seed: u64) -> Result<Summary> {
    let begun = std::time::Instant::now();
    let words = Vocabulary::new();
    let mut db = Connection::open_with_flags(
        dir.join("msgstore.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE,
    )
    .with_context(|| format!("open the msgstore.db of {}", dir.display()))?;
    let (newest_row, latest): (i64, i64) =
        db.query_row("SELECT max(_id),max(timestamp) FROM message", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })?;
    let serial = db
        .query_row("SELECT count(*) FROM message_media", [], |r| {
            r.get::<_, i64>(0)
        })?
        .unsigned_abs()
        + 1;
    let mut rng = Rng::new(seed ^ newest_row.unsigned_abs());
    let mut world = World::read(&db, &words)?;
    let tx = db.transaction()?;
    let mut writer = Writer::new(&tx, &words)?;
    let mut written = Written::default();
    let start = latest + 8 * 3_600_000;
    let pace = Pace {
        start,
        step: 50_000_000 / amount.messages.max(1),
        run: 3,
        serial,
    };
    let media = talk(
        dir,
        &mut writer,
        &mut world,
        amount,
        pace,
        &mut rng,
        &mut written,
    )?;
    let mut old =
        tx.prepare("SELECT key_id,chat_row_id FROM message WHERE _id=?1 AND message_type=0")?;
    let mut change = tx.prepare("UPDATE message SET text_data=?2,message_type=?3 WHERE _id=?1")?;
    let mut text = String::new();
    let (edits, reactions, revokes) = (amount.edits, amount.edits / 2, amount.edits / 5);
    let mut done = 0;
    while done < edits + reactions + revokes {
        let row = whole(rng.between(2, newest_row.unsigned_abs()));
        let Ok((key, chat)) =
            old.query_row([row], |r| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?)))
        else {
            continue;
        };
        let Some(chat) = world.chats.iter().find(|c| c.row == chat) else {
            continue;
        };
        let at = start + whole(done);
        if done < edits {
            words.sentence(chat.language, &mut rng, &mut text);
            change.execute(params![row, text, 0])?;
            writer.edited(row, &key, at)?;
            written.edits += 1;
        } else if done < edits + reactions {
            writer.react(chat, row, at, &mut rng)?;
            written.reactions += 1;
        } else {
            change.execute(params![row, None::<String>, 15])?;
            writer.revoke(row, &key, at)?;
            written.revoked += 1;
        }
        done += 1;
    }
    drop((old, change, writer));
    newest(&tx, &world)?;
    tx.commit()?;
    db.close().map_err(|(_, error)| error)?;
    summary(dir, written, &media, begun)
}

/// When messages come, and the number of the first new media file.
#[derive(Debug, Clone, Copy)]
struct Pace {
    start: i64,
    /// Milliseconds from one message to the next, in the mean.
    step: u64,
    /// Messages of one chat that follow each other, in the mean.
    run: u64,
    serial: u64,
}

/// Writes all messages in the order of their times, some with media; says which files were unique.
fn talk(
    dir: &Path,
    writer: &mut Writer<'_>,
    world: &mut World,
    amount: Amount,
    pace: Pace,
    rng: &mut Rng,
    written: &mut Written,
) -> Result<Vec<(Made, bool)>> {
    let plan = media::plan(amount.files, amount.bytes, amount.copied, rng);
    let root = dir.join("WhatsApp");
    let mut maker = Maker {
        root: &root,
        buffer: Vec::new(),
    };
    let mut made: Vec<(Made, bool)> = Vec::with_capacity(plan.len());
    let mut at = pace.start;
    let mut done = 0;
    while done < amount.messages {
        let chat = world.sizes.pick(rng);
        let chat = &mut world.chats[chat];
        let run = rng.run(pace.run).min(amount.messages - done);
        let budget = whole(pace.step * run);
        let begun = at;
        for _ in 0..run {
            at += whole(rng.between(1_000, 40_000.min(pace.step * 2)));
            let serial = u64::try_from(made.len())?;
            let due = serial < amount.files && done * amount.files >= serial * amount.messages;
            if due {
                let planned = plan[made.len()];
                let file = match planned.copy_of {
                    Some(original) => {
                        maker.forward(&made[original].0.clone(), at, pace.serial + serial)?
                    }
                    None => maker.make(planned, at, pace.serial + serial, rng)?,
                };
                made.push((file, planned.copy_of.is_none()));
            }
            writer.message(
                chat,
                at,
                made.last().filter(|_| due).map(|(file, _)| file),
                rng,
                written,
            )?;
            done += 1;
        }
        let pause = (budget - (at - begun)).max(0).unsigned_abs();
        at += whole(rng.below(2 * pause + 1));
    }
    Ok(made)
}

/// The chat list shows the newest message of each chat.
fn newest(tx: &rusqlite::Transaction<'_>, world: &World) -> Result<()> {
    let mut update = tx.prepare("UPDATE chat SET last_message_row_id=?2,display_message_row_id=?2,sort_timestamp=?3 WHERE _id=?1")?;
    for chat in world.chats.iter().filter(|chat| chat.newest.0 > 0) {
        update.execute(params![chat.row, chat.newest.0, chat.newest.1])?;
    }
    Ok(())
}

fn summary(
    dir: &Path,
    written: Written,
    media: &[(Made, bool)],
    begun: std::time::Instant,
) -> Result<Summary> {
    Ok(Summary {
        written,
        media_files: u64::try_from(media.len())?,
        media_bytes: media.iter().map(|(file, _)| file.size).sum(),
        unique_media_bytes: media
            .iter()
            .filter(|(_, unique)| *unique)
            .map(|(file, _)| file.size)
            .sum(),
        database_bytes: fs::metadata(dir.join("msgstore.db"))?.len(),
        seconds: begun.elapsed().as_secs_f64(),
    })
}
