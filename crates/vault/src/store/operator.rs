//! What the operator reads and does: accounts, locks, figures. Nothing here gives a guess back.

use heirloom_vault_api::{AccountId, LogKind, RecordName};

use super::account;
use super::log;
use super::record::{GUESSES, Record, STRANGERS_GUESSES, STRANGERS_LIFETIME, key, keyed};
use crate::db::{DbError, Row, Sql, Value};

/// Accounts and locks of one answer.
pub(crate) const PAGE: u64 = 200;

const USERS: &str = "SELECT a.account, a.tenant, a.created, a.used_bytes, a.quota_bytes, \
       COALESCE((SELECT d.since FROM vault_disabled d WHERE d.account = a.account), 0), \
       (SELECT count(*) FROM vault_token t WHERE t.account = a.account AND t.ended IS NULL), \
       (SELECT count(*) FROM vault_blob b WHERE b.account = a.account AND b.deleted IS NULL) \
     FROM vault_account a WHERE a.account > $1 ORDER BY a.account LIMIT $2";
const USER: &str = "SELECT a.account, a.tenant, a.created, a.used_bytes, a.quota_bytes, \
       COALESCE((SELECT d.since FROM vault_disabled d WHERE d.account = a.account), 0), \
       (SELECT count(*) FROM vault_token t WHERE t.account = a.account AND t.ended IS NULL), \
       (SELECT count(*) FROM vault_blob b WHERE b.account = a.account AND b.deleted IS NULL) \
     FROM vault_account a WHERE a.account = $1";
const QUOTA: &str =
    "UPDATE vault_account SET quota_bytes = $2 WHERE account = $1 RETURNING quota_bytes";
const DISABLE: &str = "INSERT INTO vault_disabled (account, since) VALUES ($1, $2) \
     ON CONFLICT (account) DO NOTHING RETURNING since";
const ENABLE: &str = "DELETE FROM vault_disabled WHERE account = $1 RETURNING since";

fn text(bytes: Option<Vec<u8>>) -> Result<Option<String>, DbError> {
    bytes
        .map(String::from_utf8)
        .transpose()
        .map_err(|_| DbError::Impossible)
}

/// An account, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) account: AccountId,
    pub(crate) tenant: Option<String>,
    pub(crate) created: u64,
    pub(crate) used_bytes: u64,
    pub(crate) quota_bytes: u64,
    pub(crate) disabled: Option<u64>,
    pub(crate) devices: u64,
    pub(crate) objects: u64,
}

fn user(mut row: Row) -> Result<User, DbError> {
    Ok(User {
        account: row.fixed()?.ok_or(DbError::Impossible)?,
        tenant: text(row.bytes()?)?,
        created: row.u64()?,
        used_bytes: row.u64()?,
        quota_bytes: row.u64()?,
        disabled: Some(row.u64()?).filter(|since| *since > 0),
        devices: row.u64()?,
        objects: row.u64()?,
    })
}

/// A page of accounts, in the order of ids.
pub(crate) fn users(sql: &mut dyn Sql, after: &[u8]) -> Result<Vec<User>, DbError> {
    let rows = sql.query(USERS, &[after.into(), PAGE.into()])?;
    rows.into_iter().map(user).collect()
}

/// One account.
pub(crate) fn find(sql: &mut dyn Sql, account: &AccountId) -> Result<Option<User>, DbError> {
    let rows = sql.query(USER, &[(*account).into()])?;
    rows.into_iter().next().map(user).transpose()
}

/// Another quota. What is stored stays, also beyond it. `false`: there is no such account.
pub(crate) fn quota(
    sql: &mut dyn Sql,
    account: &AccountId,
    quota_bytes: u64,
) -> Result<bool, DbError> {
    let rows = sql.query(QUOTA, &[(*account).into(), quota_bytes.into()])?;
    Ok(!rows.is_empty())
}

/// Refuses an account's sign-ins, or takes them again. `None`: there is no such account; else whether it changed.
pub(crate) fn disable(
    sql: &mut dyn Sql,
    account: &AccountId,
    disabled: bool,
    now: u64,
) -> Result<Option<bool>, DbError> {
    if !account::hold(sql, account)? {
        return Ok(None);
    }
    let rows = if disabled {
        sql.query(DISABLE, &[(*account).into(), now.into()])?
    } else {
        sql.query(ENABLE, &[(*account).into()])?
    };
    Ok(Some(!rows.is_empty()))
}

const RECORDS: &str = "SELECT name FROM vault_record WHERE account = $1 ORDER BY shard, name";
// As one of a name that nobody registered, with the counters that it had: whoever asks learns nothing.
const FORGET: &str = "UPDATE vault_record SET account = NULL, sealed = NULL, owner = NULL, \
       pending_sealed = NULL, pending_owner = NULL, pending_version = 0, pending_proved = 0, \
       session = NULL, session_state = NULL, touched = $3 \
     WHERE shard = $1 AND name = $2 RETURNING state";
const DROP_OBJECTS: &str =
    "UPDATE vault_blob SET deleted = $2 WHERE account = $1 AND deleted IS NULL";
const DROPS: &[&str] = &[
    "DELETE FROM vault_upload WHERE account = $1",
    "DELETE FROM vault_token WHERE account = $1",
    "DELETE FROM vault_invite WHERE account = $1",
    "DELETE FROM vault_head WHERE account = $1",
    "DELETE FROM vault_passkey WHERE account = $1",
    "DELETE FROM vault_subject WHERE account = $1",
    "DELETE FROM vault_disabled WHERE account = $1",
    "DELETE FROM vault_account WHERE account = $1",
];

/// Deletes an account: its passwords are destroyed, its objects go after the grace. `false`: there is none.
pub(crate) fn delete(sql: &mut dyn Sql, account: &AccountId, now: u64) -> Result<bool, DbError> {
    // Nobody adds anything to it meanwhile.
    if !account::hold(sql, account)? {
        return Ok(false);
    }
    for name in records(sql, account)? {
        let record = Record::hold(sql, &name)?.ok_or(DbError::Impossible)?;
        sql.query(FORGET, &keyed(&name, [now.into()]))?;
        let head = (record.log_length, &record.log_hash);
        log::append(sql, &name, head, LogKind::Destroyed, record.version, now)?;
    }
    sql.query(DROP_OBJECTS, &[(*account).into(), now.into()])?;
    for drop in DROPS {
        sql.query(drop, &[(*account).into()])?;
    }
    Ok(true)
}

/// Names of an account's records.
pub(crate) fn records(sql: &mut dyn Sql, account: &AccountId) -> Result<Vec<RecordName>, DbError> {
    let rows = sql.query(RECORDS, &[(*account).into()])?;
    rows.into_iter()
        .map(|mut row| row.fixed()?.ok_or(DbError::Impossible))
        .collect()
}

/// A password that strangers, or everybody, must wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Locked {
    pub(crate) account: AccountId,
    pub(crate) name: RecordName,
    pub(crate) state: u64,
    pub(crate) guesses: u64,
    pub(crate) lifetime: u64,
    pub(crate) not_before: u64,
    pub(crate) deadline: u64,
}

// In the table's order, which is no order of names to who reads it: by name alone, each page would walk the whole table.
pub(crate) const LOCKED: &str = "SELECT account, name, state, guesses, lifetime, not_before, deadline FROM vault_record \
     WHERE (shard, name) > ($1, $2) AND account IS NOT NULL \
       AND (state > 1 OR guesses >= $3 OR lifetime >= $4 OR not_before > $5) \
     ORDER BY shard, name LIMIT $6";

/// The place after which a page of records begins, in the table's order.
pub(crate) fn after_key(after: Option<&RecordName>) -> Vec<Value> {
    // A name that is shorter than all.
    after.map_or_else(|| vec![0u64.into(), [].as_slice().into()], key)
}

/// A page of passwords that are locked to somebody, or wait.
pub(crate) fn locked(
    sql: &mut dyn Sql,
    after: Option<&RecordName>,
    now: u64,
) -> Result<Vec<Locked>, DbError> {
    sql.barrier()?;
    let mut values = after_key(after);
    values.extend([
        STRANGERS_GUESSES.into(),
        STRANGERS_LIFETIME.into(),
        now.into(),
        PAGE.into(),
    ]);
    let rows = sql.query(LOCKED, &values)?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Locked {
                account: row.fixed()?.ok_or(DbError::Impossible)?,
                name: row.fixed()?.ok_or(DbError::Impossible)?,
                state: row.u64()?,
                guesses: row.u64()?,
                lifetime: row.u64()?,
                not_before: row.u64()?,
                deadline: row.u64()?,
            })
        })
        .collect()
}

const FIGURES: &str = "SELECT \
       (SELECT count(*) FROM vault_account), \
       (SELECT count(*) FROM vault_disabled), \
       (SELECT count(*) FROM vault_token WHERE ended IS NULL), \
       (SELECT count(*) FROM vault_record WHERE account IS NOT NULL AND sealed IS NOT NULL), \
       (SELECT count(*) FROM vault_record WHERE account IS NOT NULL AND guesses >= $1), \
       (SELECT count(*) FROM vault_record WHERE state = 3), \
       (SELECT count(*) FROM vault_record WHERE account IS NULL), \
       (SELECT count(*) FROM vault_blob WHERE deleted IS NULL), \
       (SELECT CAST(COALESCE(sum(size), 0) AS bigint) FROM vault_blob WHERE deleted IS NULL), \
       (SELECT count(*) FROM vault_blob WHERE deleted IS NOT NULL)";

/// How much of everything there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) accounts: u64,
    pub(crate) disabled: u64,
    pub(crate) sign_ins: u64,
    pub(crate) passwords: u64,
    pub(crate) locked: u64,
    pub(crate) destroyed: u64,
    pub(crate) unknown_names: u64,
    pub(crate) objects: u64,
    pub(crate) object_bytes: u64,
    pub(crate) deleted_objects: u64,
}

/// Counts everything; walks whole tables.
pub(crate) fn figures(sql: &mut dyn Sql) -> Result<Figures, DbError> {
    const { assert!(STRANGERS_GUESSES < GUESSES, "the owner has more") };
    let rows = sql.query(FIGURES, &[STRANGERS_GUESSES.into()])?;
    let mut row = rows.into_iter().next().ok_or(DbError::Impossible)?;
    Ok(Figures {
        accounts: row.u64()?,
        disabled: row.u64()?,
        sign_ins: row.u64()?,
        passwords: row.u64()?,
        locked: row.u64()?,
        destroyed: row.u64()?,
        unknown_names: row.u64()?,
        objects: row.u64()?,
        object_bytes: row.u64()?,
        deleted_objects: row.u64()?,
    })
}

/// A record's three sealed values, for whoever wraps them anew.
#[derive(Debug)]
pub(crate) struct SealedRecord {
    pub(crate) name: RecordName,
    pub(crate) version: u32,
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) pending_version: u32,
    pub(crate) pending_sealed: Option<Vec<u8>>,
    pub(crate) session_state: Option<Vec<u8>>,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Sealed,
    Pending,
    Session,
}

const SEALED: &str = "SELECT name, version, sealed, pending_version, pending_sealed, session_state \
     FROM vault_record WHERE (shard, name) > ($1, $2) ORDER BY shard, name LIMIT 50";
const SEALED_FIRST: &str = "SELECT name, version, sealed, pending_version, pending_sealed, session_state \
     FROM vault_record ORDER BY shard, name LIMIT 50";
// Only over what was read: whatever happened meanwhile was sealed under the newest key.
const WRAP: &str =
    "UPDATE vault_record SET sealed = $4 WHERE shard = $1 AND name = $2 AND sealed = $3";
const WRAP_PENDING: &str = "UPDATE vault_record SET pending_sealed = $4 WHERE shard = $1 AND name = $2 AND pending_sealed = $3";
const WRAP_SESSION: &str = "UPDATE vault_record SET session_state = $4 WHERE shard = $1 AND name = $2 AND session_state = $3";

/// Records after `after` in the table's order, at most 50.
pub(crate) fn sealed(
    sql: &mut dyn Sql,
    after: Option<&RecordName>,
) -> Result<Vec<SealedRecord>, DbError> {
    sql.barrier()?;
    let rows = match after {
        Some(after) => sql.query(SEALED, &key(after))?,
        None => sql.query(SEALED_FIRST, &[])?,
    };
    rows.into_iter()
        .map(|mut row| {
            Ok(SealedRecord {
                name: row.fixed()?.ok_or(DbError::Impossible)?,
                version: row.u32()?,
                sealed: row.bytes()?,
                pending_version: row.u32()?,
                pending_sealed: row.bytes()?,
                session_state: row.bytes()?,
            })
        })
        .collect()
}

const ANY_SEALED: &str =
    "SELECT name, version, sealed FROM vault_record WHERE sealed IS NOT NULL LIMIT 1";

/// Some value in force, with its record and version.
pub(crate) fn any_sealed(sql: &mut dyn Sql) -> Result<Option<(RecordName, u32, Vec<u8>)>, DbError> {
    let rows = sql.query(ANY_SEALED, &[])?;
    rows.into_iter()
        .next()
        .map(|mut row| {
            let name = row.fixed()?.ok_or(DbError::Impossible)?;
            let version = row.u32()?;
            Ok((name, version, row.bytes()?.ok_or(DbError::Impossible)?))
        })
        .transpose()
}

/// Puts a value that was wrapped anew in the place of the one that was read.
pub(crate) fn wrap(
    sql: &mut dyn Sql,
    name: &RecordName,
    column: Column,
    (old, new): (&[u8], &[u8]),
) -> Result<(), DbError> {
    let text = match column {
        Column::Sealed => WRAP,
        Column::Pending => WRAP_PENDING,
        Column::Session => WRAP_SESSION,
    };
    sql.query(text, &keyed(name, [old.into(), new.into()]))
        .map(drop)
}
