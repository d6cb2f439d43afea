//! A record's log: each entry's hash covers the one before.

use heirloom_vault_api::{Fixed, LogEntry, LogKind, RecordName, log_start};

use super::record::{Record, key, keyed};
use crate::db::{DbError, Sql};

/// The most entries of one answer.
const PAGE: u64 = 100;

const INSERT: &str = "INSERT INTO vault_log (shard, name, sequence, kind, version, time_ms) \
     VALUES ($1, $2, $3, $4, $5, $6)";
const HEAD: &str =
    "UPDATE vault_record SET log_length = $3, log_hash = $4 WHERE shard = $1 AND name = $2";
const READ: &str = "SELECT sequence, kind, version, time_ms FROM vault_log \
     WHERE shard = $1 AND name = $2 AND sequence > $3 AND sequence <= $4 ORDER BY sequence";

/// Tells of an entry that a statement put into the record's length and hash itself, by `vault_log_hash`.
pub(super) fn tell(sql: &mut dyn Sql, name: &RecordName, entry: &LogEntry) -> Result<(), DbError> {
    let LogEntry {
        sequence,
        kind,
        version,
        time_ms,
    } = entry;
    let values = [
        (*sequence).into(),
        u32::from(kind.number()).into(),
        (*version).into(),
        (*time_ms).into(),
    ];
    sql.tell(INSERT, keyed(name, values))
}

/// Adds an entry in the same transaction as what it tells of; gives the new length and hash.
pub(crate) fn append(
    sql: &mut dyn Sql,
    name: &RecordName,
    (length, hash): (u64, &Fixed<32>),
    kind: LogKind,
    version: u32,
    now: u64,
) -> Result<(u64, Fixed<32>), DbError> {
    let entry = LogEntry {
        sequence: length + 1,
        kind,
        version,
        time_ms: now,
    };
    let hash = entry.hash(hash);
    tell(sql, name, &entry)?;
    sql.tell(HEAD, keyed(name, [entry.sequence.into(), hash.into()]))?;
    Ok((entry.sequence, hash))
}

/// Entries after the first `from`.
pub(crate) fn read(
    sql: &mut dyn Sql,
    name: &RecordName,
    from: u64,
) -> Result<Vec<LogEntry>, DbError> {
    let until = from.saturating_add(PAGE);
    let rows = sql.query(READ, &keyed(name, [from.into(), until.into()]))?;
    rows.into_iter()
        .map(|mut row| {
            Ok(LogEntry {
                sequence: row.u64()?,
                kind: u8::try_from(row.u64()?)
                    .ok()
                    .and_then(LogKind::from_number)
                    .ok_or(DbError::Impossible)?,
                version: row.u32()?,
                time_ms: row.u64()?,
            })
        })
        .collect()
}

/// What a log is wrong in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFault {
    /// The entry of this sequence is missing, or stands elsewhere.
    Missing(u64),
    /// The entries do not lead to the hash that the record holds.
    Altered,
}

/// Walks a record's whole log. `None`: it is whole.
pub(crate) fn verify(sql: &mut dyn Sql, name: &RecordName) -> Result<Option<LogFault>, DbError> {
    let Some(record) = Record::one(sql.query(
        concat!(
            "SELECT ",
            super::record::columns!(),
            " FROM vault_record WHERE shard = $1 AND name = $2"
        ),
        &key(name),
    )?)?
    else {
        return Ok(None);
    };
    let (mut length, mut hash) = (0, log_start(name));
    loop {
        let page = read(sql, name, length)?;
        if page.is_empty() {
            break;
        }
        for entry in page {
            if entry.sequence != length + 1 {
                return Ok(Some(LogFault::Missing(length + 1)));
            }
            hash = entry.hash(&hash);
            length += 1;
        }
    }
    if length != record.log_length {
        return Ok(Some(LogFault::Missing(length + 1)));
    }
    Ok((hash != record.log_hash).then_some(LogFault::Altered))
}
