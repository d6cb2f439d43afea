//! A record's row, checked as it is read.

use heirloom_vault_api::{AccountId, Fixed, RecordName};

use super::shard;
use crate::db::{DbError, Row, Sql, Value};

/// Guesses between two proofs, for the signed-in owner.
pub(crate) const GUESSES: u32 = 10;
/// Of these, for anyone else: strangers can delay, and never destroy.
pub(crate) const STRANGERS_GUESSES: u32 = 7;
/// Unproven guesses in a record's life; nothing resets it.
pub(crate) const LIFETIME: u32 = 100;
/// Of these, for anyone else.
pub(crate) const STRANGERS_LIFETIME: u32 = 90;
/// How long the last guess may still be proven.
pub(crate) const FINAL_MS: u64 = 120_000;

/// What a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Live,
    /// The last guess was evaluated; its session may still be proven until the deadline.
    Final,
    Destroyed,
}

/// A row without what only some operations need.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) account: Option<AccountId>,
    pub(crate) state: State,
    pub(crate) guesses: u32,
    pub(crate) failed: u32,
    pub(crate) total: u64,
    pub(crate) lifetime: u32,
    pub(crate) not_before: u64,
    pub(crate) deadline: u64,
    pub(crate) newest: u32,
    pub(crate) version: u32,
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) owner: Option<Fixed<32>>,
    pub(crate) pending_version: u32,
    pub(crate) pending_sealed: Option<Vec<u8>>,
    pub(crate) pending_owner: Option<Fixed<32>>,
    pub(crate) log_length: u64,
    pub(crate) log_hash: Fixed<32>,
}

/// The columns that [`Record::read`] takes, in its order.
macro_rules! columns {
    () => {
        "account, state, guesses, failed, total, lifetime, not_before, deadline, newest, version, sealed, \
         owner, pending_version, pending_sealed, pending_owner, log_length, log_hash"
    };
}
pub(crate) use columns;

impl Record {
    /// Reads a row. What the rules do not allow is refused, wherever it came from.
    pub(crate) fn read(mut row: Row) -> Result<Self, DbError> {
        let record = Self {
            account: row.fixed()?,
            state: match row.u64()? {
                1 => State::Live,
                2 => State::Final,
                3 => State::Destroyed,
                _ => return Err(DbError::Impossible),
            },
            guesses: row.u32()?,
            failed: row.u32()?,
            total: row.u64()?,
            lifetime: row.u32()?,
            not_before: row.u64()?,
            deadline: row.u64()?,
            newest: row.u32()?,
            version: row.u32()?,
            sealed: row.bytes()?,
            owner: row.fixed()?,
            pending_version: row.u32()?,
            pending_sealed: row.bytes()?,
            pending_owner: row.fixed()?,
            log_length: row.u64()?,
            log_hash: row.fixed()?.ok_or(DbError::Impossible)?,
        };
        if record.guesses > GUESSES || record.lifetime > LIFETIME {
            return Err(DbError::Impossible);
        }
        Ok(record)
    }

    pub(crate) fn one(rows: Vec<Row>) -> Result<Option<Self>, DbError> {
        rows.into_iter().next().map(Self::read).transpose()
    }

    /// Finds a row by its name.
    pub(crate) fn find(sql: &mut dyn Sql, name: &RecordName) -> Result<Option<Self>, DbError> {
        Self::one(sql.query(FIND, &key(name))?)
    }

    /// The same, kept from everybody else until the transaction ends: for whoever changes it by what is in it.
    pub(crate) fn hold(sql: &mut dyn Sql, name: &RecordName) -> Result<Option<Self>, DbError> {
        Self::one(sql.query(HOLD, &key(name))?)
    }

    /// The same, when it belongs to `account`.
    pub(crate) fn hold_of_owner(
        sql: &mut dyn Sql,
        name: &RecordName,
        account: &AccountId,
    ) -> Result<Option<Self>, DbError> {
        let found = Self::hold(sql, name)?;
        Ok(found.filter(|record| record.account.as_ref() == Some(account)))
    }

    /// Finds a row, when it belongs to `account`.
    pub(crate) fn of_owner(
        sql: &mut dyn Sql,
        name: &RecordName,
        account: &AccountId,
    ) -> Result<Option<Self>, DbError> {
        let found = Self::find(sql, name)?;
        Ok(found.filter(|record| record.account.as_ref() == Some(account)))
    }
}

const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM vault_record WHERE shard = $1 AND name = $2"
);

// SQLite has no `FOR UPDATE`: an update that changes nothing holds the row on both engines.
const HOLD: &str = concat!(
    "UPDATE vault_record SET touched = touched WHERE shard = $1 AND name = $2 RETURNING ",
    columns!()
);

/// The first two parameters of every statement here.
pub(crate) fn key(name: &RecordName) -> Vec<Value> {
    vec![shard(name).into(), (*name).into()]
}

/// The key and what follows it.
pub(crate) fn keyed<const N: usize>(name: &RecordName, more: [Value; N]) -> Vec<Value> {
    let mut values = key(name);
    values.extend(more);
    values
}
