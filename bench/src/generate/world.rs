//! Who writes to whom: people, chats and their sizes.

use anyhow::Result;
use rusqlite::{Connection, Transaction, params};

use super::rng::{Rng, Weighted};
use super::words::Vocabulary;

/// One chat of the folder.
#[derive(Debug)]
pub(crate) struct Chat {
    /// `chat._id`.
    pub(crate) row: i64,
    pub(crate) group: bool,
    /// `jid._id` of everyone else in it.
    pub(crate) members: Vec<i64>,
    /// Index of its made-up language.
    pub(crate) language: usize,
    /// A message of the last hours that others may quote.
    pub(crate) recent: Option<Recent>,
    /// Row and time of its newest message.
    pub(crate) newest: (i64, i64),
}

/// What a quote repeats.
#[derive(Debug, Clone)]
pub(crate) struct Recent {
    pub(crate) from_me: bool,
    pub(crate) sender: i64,
    pub(crate) key: String,
    pub(crate) timestamp: i64,
    pub(crate) text: String,
}

/// All chats and how often each is written to.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) chats: Vec<Chat>,
    pub(crate) sizes: Weighted,
}

const PEOPLE: i64 = 700;
const CHATS: usize = 400;

impl World {
    /// Makes people and chats and writes them.
    pub(crate) fn create(
        tx: &Transaction<'_>,
        contacts: &Transaction<'_>,
        words: &Vocabulary,
        start: i64,
        rng: &mut Rng,
    ) -> Result<Self> {
        let mut jid = tx.prepare("INSERT INTO jid(_id,user,server,agent,device,type,raw_string) VALUES(?1,?2,?3,0,0,?4,?5)")?;
        let mut contact = contacts
            .prepare("INSERT INTO wa_contacts(jid,is_whatsapp_user,status,number,display_name,wa_name) VALUES(?1,1,NULL,?2,?3,?4)")?;
        for row in 1..=PEOPLE {
            let user = format!("1555{row:07}");
            let raw = format!("{user}@s.whatsapp.net");
            jid.execute(params![row, user, "s.whatsapp.net", 0, raw])?;
            if rng.chance(85, 100) {
                let first = words.name(0, rng);
                let full = format!("{first} {}", words.name(1, rng));
                contact.execute(params![raw, format!("+{user}"), full, first])?;
            }
        }
        let mut insert = tx.prepare(
            "INSERT INTO chat(_id,jid_row_id,hidden,subject,created_timestamp,archived,ephemeral_expiration,group_type) VALUES(?1,?2,0,?3,?4,?5,0,0)",
        )?;
        let mut participant =
            tx.prepare("INSERT INTO group_participant_user(group_jid_row_id,user_jid_row_id,rank,pending,add_timestamp) VALUES(?1,?2,?3,0,?4)")?;
        let mut chats = Vec::with_capacity(CHATS);
        let mut person = 0;
        for row in (1_i64..).take(CHATS) {
            let group = rng.chance(1, 4);
            let language = language(words, row);
            let (jid_row, subject, members) = if group {
                let jid_row = PEOPLE + row;
                let user = format!("12036300{row:010}");
                jid.execute(params![jid_row, user, "g.us", 1, format!("{user}@g.us")])?;
                let size = rng.between(3, 40);
                let mut members: Vec<i64> = (0..size).map(|_| whole(rng.between(1, 700))).collect();
                members.sort_unstable();
                members.dedup();
                for (rank, member) in members.iter().enumerate() {
                    participant.execute(params![jid_row, member, i32::from(rank == 0), start])?;
                }
                let subject = format!(
                    "{} {}",
                    words.name(language, rng),
                    words.name(language, rng)
                );
                (jid_row, Some(subject), members)
            } else {
                person += 1;
                (person, None, vec![person])
            };
            insert.execute(params![
                row,
                jid_row,
                subject,
                start,
                i32::from(rng.chance(1, 20))
            ])?;
            chats.push(Chat {
                row,
                group,
                members,
                language,
                recent: None,
                newest: (0, start),
            });
        }
        Ok(Self {
            chats,
            sizes: Weighted::zipf(CHATS, 1),
        })
    }

    /// Reads back the chats of a folder that [`World::create`] filled.
    pub(crate) fn read(db: &Connection, words: &Vocabulary) -> Result<Self> {
        let mut select = db.prepare("SELECT c._id,c.jid_row_id,j.server FROM chat c JOIN jid j ON j._id=c.jid_row_id ORDER BY c._id")?;
        let mut members = db.prepare("SELECT user_jid_row_id FROM group_participant_user WHERE group_jid_row_id=?1 ORDER BY user_jid_row_id")?;
        let mut chats = Vec::new();
        let mut rows = select.query([])?;
        while let Some(found) = rows.next()? {
            let (row, jid): (i64, i64) = (found.get(0)?, found.get(1)?);
            let group = found.get_ref(2)?.as_str()? == "g.us";
            let members = if group {
                members
                    .query_map([jid], |r| r.get(0))?
                    .collect::<Result<_, _>>()?
            } else {
                vec![jid]
            };
            chats.push(Chat {
                row,
                group,
                members,
                language: language(words, row),
                recent: None,
                newest: (0, 0),
            });
        }
        // A day touches many chats: flatter than the sizes of a lifetime.
        let sizes = Weighted::zipf(chats.len(), 25);
        Ok(Self { chats, sizes })
    }
}

/// A chat keeps its language without a column for it.
fn language(words: &Vocabulary, row: i64) -> usize {
    words.language(&mut Rng::new(row.unsigned_abs()))
}

/// A count as SQLite knows it.
pub(crate) fn whole(n: u64) -> i64 {
    i64::try_from(n).expect("counts here stay far below 63 bits")
}
