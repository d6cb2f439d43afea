//! The operator's own log: each entry's hash covers the one before, and is written with what it tells of.

use heirloom_vault_api::Fixed;
use sha2::{Digest as _, Sha256};

use crate::db::{DbError, Sql};

const LABEL: &[u8] = b"heirloom/vault/v1/act";
/// Entries of one answer.
const PAGE: u64 = 100;

const BEGIN: &str = "INSERT INTO vault_act_head (id, length, hash) VALUES (1, 0, $1) \
     ON CONFLICT (id) DO NOTHING";
// Holds the row: no two acts have one number.
const HEAD: &str =
    "UPDATE vault_act_head SET length = length + 1 WHERE id = 1 RETURNING length, hash";
const SET_HEAD: &str = "UPDATE vault_act_head SET hash = $1 WHERE id = 1";
const READ_HEAD: &str = "SELECT length, hash FROM vault_act_head WHERE id = 1";
const INSERT: &str =
    "INSERT INTO vault_act (sequence, time_ms, act, detail) VALUES ($1, $2, $3, $4)";
const READ: &str = "SELECT sequence, time_ms, act, detail FROM vault_act \
     WHERE sequence > $1 ORDER BY sequence LIMIT $2";

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) time_ms: u64,
    pub(crate) act: String,
    pub(crate) detail: String,
}

impl Entry {
    /// `SHA-256(label ‖ hash before ‖ sequence u64 ‖ time u64 ‖ length u64 ‖ act ‖ length u64 ‖ detail)`.
    fn hash(&self, before: &Fixed<32>) -> Fixed<32> {
        let Self {
            sequence,
            time_ms,
            act,
            detail,
        } = self;
        let mut hash = Sha256::new();
        hash.update(LABEL);
        hash.update(before.as_bytes());
        hash.update(sequence.to_be_bytes());
        hash.update(time_ms.to_be_bytes());
        for text in [act, detail] {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text);
        }
        Fixed(hash.finalize().into())
    }
}

/// What the chain begins with.
pub(crate) const START: Fixed<32> = Fixed([0; 32]);

/// Adds an entry, in the transaction of what it tells of.
pub(crate) fn append(sql: &mut dyn Sql, act: &str, detail: &str, now: u64) -> Result<(), DbError> {
    sql.query(BEGIN, &[START.into()])?;
    let rows = sql.query(HEAD, &[])?;
    let mut row = rows.into_iter().next().ok_or(DbError::Impossible)?;
    let entry = Entry {
        sequence: row.u64()?,
        time_ms: now,
        act: act.to_owned(),
        detail: detail.to_owned(),
    };
    let before = row.fixed()?.ok_or(DbError::Impossible)?;
    let values = [
        entry.sequence.into(),
        now.into(),
        act.as_bytes().into(),
        detail.as_bytes().into(),
    ];
    sql.query(INSERT, &values)?;
    sql.query(SET_HEAD, &[entry.hash(&before).into()]).map(drop)
}

/// Length and hash, as they should be.
pub(crate) fn head(sql: &mut dyn Sql) -> Result<(u64, Fixed<32>), DbError> {
    let rows = sql.query(READ_HEAD, &[])?;
    let Some(mut row) = rows.into_iter().next() else {
        return Ok((0, START));
    };
    Ok((row.u64()?, row.fixed()?.ok_or(DbError::Impossible)?))
}

/// Entries after the first `from`, at most 100.
pub(crate) fn read(sql: &mut dyn Sql, from: u64) -> Result<Vec<Entry>, DbError> {
    let rows = sql.query(READ, &[from.into(), PAGE.into()])?;
    rows.into_iter()
        .map(|mut row| {
            let (sequence, time_ms) = (row.u64()?, row.u64()?);
            let mut text = || {
                let bytes = row.bytes()?.ok_or(DbError::Impossible)?;
                String::from_utf8(bytes).map_err(|_| DbError::Impossible)
            };
            Ok(Entry {
                sequence,
                time_ms,
                act: text()?,
                detail: text()?,
            })
        })
        .collect()
}

/// Walks the whole log. `Some`: the number of the first entry that is missing or altered, as far as it can be told:
/// an altered one shows where the chain ends.
pub(crate) fn verify(sql: &mut dyn Sql) -> Result<Option<u64>, DbError> {
    sql.barrier()?;
    let (length, head) = head(sql)?;
    let (mut known, mut hash) = (0, START);
    loop {
        let page = read(sql, known)?;
        if page.is_empty() {
            break;
        }
        for entry in page {
            if entry.sequence != known + 1 || entry.sequence > length {
                return Ok(Some(known + 1));
            }
            hash = entry.hash(&hash);
            known += 1;
        }
    }
    if known != length {
        return Ok(Some(known + 1));
    }
    Ok((hash != head).then_some(length))
}
