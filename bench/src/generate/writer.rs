//! Writes messages as WhatsApp would: the row, and the rows of other tables that hang on it.

use anyhow::Result;
use rusqlite::{Statement, Transaction, params};

use super::media::Made;
use super::rng::Rng;
use super::words::{REACTIONS, Vocabulary};
use super::world::{Chat, Recent, whole};

/// Prepared statements for everything that belongs to a message.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    message: Statement<'a>,
    media: Statement<'a>,
    thumbnail: Statement<'a>,
    quoted: Statement<'a>,
    add_on: Statement<'a>,
    reaction: Statement<'a>,
    edit: Statement<'a>,
    revoked: Statement<'a>,
    location: Statement<'a>,
    poll: Statement<'a>,
    option: Statement<'a>,
    system: Statement<'a>,
    receipt: Statement<'a>,
    device: Statement<'a>,
    details: Statement<'a>,
    next_row: i64,
    text: String,
    words: &'a Vocabulary,
}

/// Counts of what was written.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub(crate) struct Written {
    pub(crate) messages: u64,
    pub(crate) quotes: u64,
    pub(crate) reactions: u64,
    pub(crate) edits: u64,
    pub(crate) revoked: u64,
    pub(crate) system: u64,
}

impl<'a> Writer<'a> {
    /// Continues after the last row of `message`.
    pub(crate) fn new(tx: &'a Transaction<'_>, words: &'a Vocabulary) -> Result<Self> {
        Ok(Self {
            message: tx.prepare("INSERT INTO message(_id,chat_row_id,from_me,key_id,sender_jid_row_id,status,broadcast,recipient_count,participant_hash,origination_flags,origin,timestamp,received_timestamp,receipt_server_timestamp,message_type,text_data,starred,lookup_tables,message_add_on_flags,view_mode,sort_id) VALUES(?1,?2,?3,?4,?5,?6,0,?7,?8,0,0,?9,?10,?11,?12,?13,?14,0,?15,0,?1)")?,
            media: tx.prepare("INSERT INTO message_media(message_row_id,chat_row_id,transferred,message_url,is_animated_sticker,media_caption,file_path,file_size,media_key,media_key_timestamp,width,height,direct_path,mime_type,file_length,file_hash,media_duration,enc_file_hash) VALUES(?1,?2,1,?3,0,?4,?5,?6,?7,?8,?9,?10,?11,?12,?6,?13,?14,?15)")?,
            thumbnail: tx.prepare("INSERT INTO message_thumbnail(message_row_id,thumbnail) VALUES(?1,?2)")?,
            quoted: tx.prepare("INSERT INTO message_quoted(message_row_id,chat_row_id,parent_message_chat_row_id,from_me,sender_jid_row_id,key_id,timestamp,message_type,origin,text_data,lookup_tables) VALUES(?1,?2,?2,?3,?4,?5,?6,0,0,?7,0)")?,
            add_on: tx.prepare("INSERT INTO message_add_on(chat_row_id,from_me,key_id,sender_jid_row_id,parent_message_row_id,received_timestamp,timestamp,status,message_add_on_type) VALUES(?1,?2,?3,?4,?5,?6,?6,0,56)")?,
            reaction: tx.prepare("INSERT INTO message_add_on_reaction(message_add_on_row_id,reaction,sender_timestamp) VALUES(?1,?2,?3)")?,
            edit: tx.prepare("INSERT OR REPLACE INTO message_edit_info(message_row_id,original_key_id,edited_timestamp,sender_timestamp) VALUES(?1,?2,?3,?3)")?,
            revoked: tx.prepare("INSERT OR REPLACE INTO message_revoked(message_row_id,revoked_key_id,revoke_timestamp) VALUES(?1,?2,?3)")?,
            location: tx.prepare("INSERT INTO message_location(message_row_id,chat_row_id,latitude,longitude,place_name) VALUES(?1,?2,?3,?4,?5)")?,
            poll: tx.prepare("INSERT INTO message_poll(message_row_id,enc_key,selectable_options_count) VALUES(?1,?2,1)")?,
            option: tx.prepare("INSERT INTO message_poll_option(message_row_id,option_name,vote_total) VALUES(?1,?2,?3)")?,
            system: tx.prepare("INSERT INTO message_system(message_row_id,action_type) VALUES(?1,?2)")?,
            receipt: tx.prepare("INSERT INTO receipt_user(message_row_id,receipt_user_jid_row_id,receipt_timestamp,read_timestamp) VALUES(?1,?2,?3,?4)")?,
            device: tx.prepare("INSERT INTO receipt_device(message_row_id,receipt_device_jid_row_id,receipt_device_timestamp,primary_device_version) VALUES(?1,?2,?3,?4)")?,
            details: tx.prepare("INSERT INTO message_details(message_row_id,author_device_jid,platform) VALUES(?1,?2,?3)")?,
            next_row: tx.query_row("SELECT max(_id)+1 FROM message", [], |r| r.get(0))?,
            text: String::new(),
            words,
        })
    }

    /// The line with which a group begins.
    pub(crate) fn group_created(
        &mut self,
        chat: &Chat,
        at: i64,
        rng: &mut Rng,
        written: &mut Written,
    ) -> Result<()> {
        let row = self.take_row();
        let mut subject = self.words.name(chat.language, rng);
        subject.push_str(" group");
        self.message.execute(params![
            row,
            chat.row,
            0,
            rng.hex(16),
            chat.members.first(),
            6,
            0,
            None::<String>,
            at,
            at,
            at,
            7,
            subject,
            0,
            0
        ])?;
        self.system.execute(params![row, 11])?;
        written.messages += 1;
        written.system += 1;
        Ok(())
    }

    /// One message of a chat, with whatever hangs on it.
    pub(crate) fn message(
        &mut self,
        chat: &mut Chat,
        at: i64,
        media: Option<&Made>,
        rng: &mut Rng,
        written: &mut Written,
    ) -> Result<()> {
        let row = self.take_row();
        let from_me = if chat.group {
            rng.chance(15, 100)
        } else {
            rng.chance(42, 100)
        };
        let sender = if from_me || !chat.group {
            0
        } else {
            *rng.pick(&chat.members)
        };
        let key = rng.hex(16);
        let kind = media.map_or_else(|| other_kind(rng), |m| m.kind.message_type());
        self.words.sentence(chat.language, rng, &mut self.text);
        let caption = media.and_then(|_| rng.chance(1, 5).then(|| self.text.clone()));
        let text = matches!(kind, 0 | 66).then_some(self.text.as_str());
        let hash = chat.group.then(|| format!("2:{}", rng.hex(4)));
        let recipients = if from_me && chat.group {
            i64::try_from(chat.members.len())?
        } else {
            0
        };
        let received = at + whole(rng.between(200, 4_000));
        let reacted = kind != 15 && rng.chance(2, 100);
        let values = params![
            row,
            chat.row,
            from_me,
            key,
            sender,
            if from_me { 13 } else { 0 },
            recipients,
            hash,
            at,
            received,
            received - 100,
            kind,
            text,
            rng.chance(1, 500),
            i32::from(reacted)
        ];
        self.message.execute(values)?;
        written.messages += 1;
        self.by_kind(chat, row, kind, &key, at, rng, written)?;
        if let Some(made) = media {
            self.attach(row, chat.row, made, caption.as_deref(), at, rng)?;
        }
        if let Some(recent) = chat
            .recent
            .as_ref()
            .filter(|_| matches!(kind, 0..=2) && rng.chance(2, 100))
        {
            self.quoted.execute(params![
                row,
                chat.row,
                recent.from_me,
                recent.sender,
                recent.key,
                recent.timestamp,
                recent.text
            ])?;
            written.quotes += 1;
        }
        if reacted {
            self.react(chat, row, received, rng)?;
            written.reactions += 1;
        }
        self.receipts(chat, row, from_me, sender, received, rng)?;
        if kind == 0 && (chat.recent.is_none() || rng.chance(1, 4)) {
            chat.recent = Some(Recent {
                from_me,
                sender,
                key,
                timestamp: at,
                text: self.text.clone(),
            });
        }
        chat.newest = (row, at);
        Ok(())
    }

    /// Who got and read a message of ours; from which device another came.
    fn receipts(
        &mut self,
        chat: &Chat,
        row: i64,
        from_me: bool,
        sender: i64,
        received: i64,
        rng: &mut Rng,
    ) -> Result<()> {
        if from_me {
            for member in chat.members.iter().take(6) {
                let read = received + whole(rng.between(1_000, 3_000_000));
                self.receipt.execute(params![row, member, received, read])?;
                // A phone and a computer, most of the time.
                for device in 0..whole(rng.between(1, 4)) {
                    self.device.execute(params![
                        row,
                        member * 8 + device,
                        received + device * 350,
                        whole(rng.below(2_000_000))
                    ])?;
                }
            }
        } else {
            self.details.execute(params![row, sender * 8, 2])?;
        }
        Ok(())
    }

    /// The rows of other tables that the kind of a message asks for.
    #[expect(clippy::too_many_arguments, reason = "one row's values, used once")]
    fn by_kind(
        &mut self,
        chat: &Chat,
        row: i64,
        kind: i64,
        key: &str,
        at: i64,
        rng: &mut Rng,
        written: &mut Written,
    ) -> Result<()> {
        match kind {
            0 if rng.chance(3, 1_000) => {
                self.edit.execute(params![row, rng.hex(16), at + 60_000])?;
                written.edits += 1;
            }
            5 => {
                let degrees = |n: u64| f64::from(u32::try_from(n).unwrap_or(0)) / 1_000_000.0;
                let (latitude, longitude) = (
                    degrees(rng.below(85_000_000)),
                    degrees(rng.below(170_000_000)),
                );
                self.location.execute(params![
                    row,
                    chat.row,
                    latitude,
                    longitude,
                    rng.chance(1, 3)
                        .then(|| self.words.name(chat.language, rng))
                ])?;
            }
            15 => {
                self.revoked.execute(params![row, key, at + 90_000])?;
                written.revoked += 1;
            }
            66 => {
                self.poll.execute(params![row, bytes(32, rng)])?;
                for _ in 0..rng.between(2, 5) {
                    self.option.execute(params![
                        row,
                        self.words.name(chat.language, rng),
                        whole(rng.below(9))
                    ])?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A reaction of somebody in `chat` to the message in `row`.
    pub(crate) fn react(&mut self, chat: &Chat, row: i64, at: i64, rng: &mut Rng) -> Result<()> {
        let mine = rng.chance(1, 3);
        let sender = if mine { -1 } else { *rng.pick(&chat.members) };
        let id = self.add_on.insert(params![
            chat.row,
            mine,
            rng.hex(10),
            sender,
            row,
            at + 5_000
        ])?;
        let reaction = *rng.pick(REACTIONS);
        self.reaction.execute(params![id, reaction, at + 5_000])?;
        Ok(())
    }

    /// Notes that the message in `row` was edited.
    pub(crate) fn edited(&mut self, row: i64, key: &str, at: i64) -> Result<()> {
        self.edit.execute(params![row, key, at])?;
        Ok(())
    }

    /// Notes that the message in `row` was deleted for everyone.
    pub(crate) fn revoke(&mut self, row: i64, key: &str, at: i64) -> Result<()> {
        self.revoked.execute(params![row, key, at])?;
        Ok(())
    }

    fn attach(
        &mut self,
        row: i64,
        chat: i64,
        made: &Made,
        caption: Option<&str>,
        at: i64,
        rng: &mut Rng,
    ) -> Result<()> {
        let url = format!(
            "https://mmg.example/v/t62/{}?hash={}",
            rng.hex(20),
            rng.hex(12)
        );
        let direct = format!("/v/t62/{}", rng.hex(20));
        let duration = (made.kind.message_type() == 2).then(|| whole(made.size / 2_000));
        let values = params![
            row,
            chat,
            url,
            caption,
            made.path,
            whole(made.size),
            bytes(32, rng),
            at / 1_000,
            1_200,
            1_600,
            direct,
            made.kind.mime(),
            made.hash,
            duration,
            rng.hex(22)
        ];
        self.media.execute(values)?;
        if matches!(made.kind.message_type(), 1 | 3) {
            let len = usize::try_from(rng.between(900, 3_000)).expect("a few kilobytes");
            self.thumbnail.execute(params![row, bytes(len, rng)])?;
        }
        Ok(())
    }

    fn take_row(&mut self) -> i64 {
        self.next_row += 1;
        self.next_row - 1
    }
}

fn other_kind(rng: &mut Rng) -> i64 {
    match rng.below(1_000) {
        0..3 => 15,
        3 => 5,
        4 => 66,
        _ => 0,
    }
}

fn bytes(len: usize, rng: &mut Rng) -> Vec<u8> {
    let mut out = vec![0; len];
    rng.fill(&mut out);
    out
}
