//! Objects: which file has which name, and the account's quota.

use heirloom_vault_api::{AccountId, BlobInfo, BlobName, Fixed, MAX_LISTED};

use crate::db::{DbError, Row, Sql, Value};

/// What is new: within the quota, and with what was deleted and still lies there within twice the quota.
const USE: &str = "UPDATE vault_account SET used_bytes = used_bytes + $2 \
     WHERE account = $1 AND used_bytes + $2 <= quota_bytes \
       AND used_bytes + deleted_bytes - quota_bytes + $2 <= quota_bytes RETURNING used_bytes";
/// What is brought back lies there already.
const USE_AGAIN: &str = "UPDATE vault_account \
     SET used_bytes = used_bytes + $2, \
       deleted_bytes = CASE WHEN deleted_bytes > $2 THEN deleted_bytes - $2 ELSE 0 END \
     WHERE account = $1 AND used_bytes + $2 <= quota_bytes RETURNING used_bytes";
pub(super) const FREE: &str =
    "UPDATE vault_account SET used_bytes = used_bytes - $2 WHERE account = $1";
const SET_ASIDE: &str = "UPDATE vault_account \
     SET used_bytes = used_bytes - $2, deleted_bytes = deleted_bytes + $2 WHERE account = $1";
// A server of the release before, on the same database, deletes without counting.
const FREE_DELETED: &str = "UPDATE vault_account \
     SET deleted_bytes = CASE WHEN deleted_bytes > $2 THEN deleted_bytes - $2 ELSE 0 END \
     WHERE account = $1";
const DELETED_BYTES: &str = "SELECT deleted_bytes FROM vault_account WHERE account = $1";
pub(super) const INSERT: &str = "INSERT INTO vault_blob (account, object, name, size) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (account, name) WHERE deleted IS NULL DO NOTHING RETURNING size";
const FIND: &str =
    "SELECT object, size FROM vault_blob WHERE account = $1 AND name = $2 AND deleted IS NULL";
const LIST: &str = "SELECT name, size FROM vault_blob WHERE account = $1 AND deleted IS NULL \
     AND name > $2 AND name >= $3 AND name < $4 ORDER BY name LIMIT $5";
const DELETE: &str = "UPDATE vault_blob SET deleted = $3 \
     WHERE account = $1 AND name = $2 AND deleted IS NULL RETURNING size";
const DELETED: &str = "SELECT object, size FROM vault_blob \
     WHERE account = $1 AND name = $2 AND deleted > $3 ORDER BY deleted DESC LIMIT 1";
const RESTORE: &str = "UPDATE vault_blob SET deleted = NULL \
     WHERE account = $1 AND object = $2 AND deleted IS NOT NULL RETURNING size";
const OVER: &str = "SELECT account, object FROM vault_blob WHERE deleted <= $1 LIMIT 100";
const GONE: &str =
    "DELETE FROM vault_blob WHERE account = $1 AND object = $2 AND deleted <= $3 RETURNING size";

const NAMED: &str = "SELECT size FROM vault_blob WHERE object = $1";

/// Whether any name, also a deleted one, leads to this object. Never asked of a stale copy: bytes go by it.
pub(crate) fn is_named(sql: &mut dyn Sql, object: &Fixed<16>) -> Result<bool, DbError> {
    sql.barrier()?;
    Ok(!sql.query(NAMED, &[(*object).into()])?.is_empty())
}

/// Why an object was not created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Exists,
    Quota {
        used: u64,
        quota: u64,
    },
    /// What was deleted and still lies there takes the room.
    Deleted,
    /// Too many uploads are unfinished.
    TooMany,
}

pub(super) fn name_value(name: &BlobName) -> Value {
    Value::from(name.as_str().as_bytes())
}

/// Whether `size` more bytes have room, as [`USE`] has it.
pub(crate) fn room(
    sql: &mut dyn Sql,
    account: &AccountId,
    size: u64,
) -> Result<Result<(), Refused>, DbError> {
    let (used, quota) = super::account::usage(sql, account)?;
    let rows = sql.query(DELETED_BYTES, &[(*account).into()])?;
    let mut row = rows.into_iter().next().ok_or(DbError::Impossible)?;
    let new = used.saturating_add(size);
    Ok(if new > quota {
        Err(Refused::Quota { used, quota })
    } else if new.saturating_add(row.u64()?) > quota.saturating_mul(2) {
        Err(Refused::Deleted)
    } else {
        Ok(())
    })
}

/// Takes room for `size` new bytes.
pub(super) fn take_room(
    sql: &mut dyn Sql,
    account: &AccountId,
    size: u64,
) -> Result<Result<(), Refused>, DbError> {
    let taken = sql.query(USE, &[(*account).into(), size.into()])?;
    if !taken.is_empty() {
        return Ok(Ok(()));
    }
    // Of two looks the second may see more room than the first had.
    let why = room(sql, account, size)?.err();
    Ok(Err(why.unwrap_or(Refused::Deleted)))
}

/// Names an object whose bytes are durable already. Create-if-absent, and within the quota.
pub(crate) fn create(
    sql: &mut dyn Sql,
    account: &AccountId,
    object: &Fixed<16>,
    name: &BlobName,
    size: u64,
) -> Result<Result<(), Refused>, DbError> {
    // The name first: a repeated upload must hear that it is there, even when the quota is used up.
    if find(sql, account, name)?.is_some() {
        return Ok(Err(Refused::Exists));
    }
    if let Err(why) = take_room(sql, account, size)? {
        return Ok(Err(why));
    }
    let values = [
        (*account).into(),
        (*object).into(),
        name_value(name),
        size.into(),
    ];
    if sql.query(INSERT, &values)?.is_empty() {
        sql.query(FREE, &[(*account).into(), size.into()])?;
        return Ok(Err(Refused::Exists));
    }
    Ok(Ok(()))
}

/// An object's file and length.
pub(crate) fn find(
    sql: &mut dyn Sql,
    account: &AccountId,
    name: &BlobName,
) -> Result<Option<(Fixed<16>, u64)>, DbError> {
    let rows = sql.query(FIND, &[(*account).into(), name_value(name)])?;
    rows.into_iter()
        .next()
        .map(|mut row| Ok((row.fixed()?.ok_or(DbError::Impossible)?, row.u64()?)))
        .transpose()
}

/// Objects after `after` whose names begin with `prefix`, and whether there are more.
pub(crate) fn list(
    sql: &mut dyn Sql,
    account: &AccountId,
    prefix: &str,
    after: &str,
) -> Result<(Vec<BlobInfo>, bool), DbError> {
    // Names are ASCII: no name that begins with the prefix lies beyond the prefix and 0xFF.
    let end = [prefix.as_bytes(), &[0xFF]].concat();
    let most = u64::try_from(MAX_LISTED).unwrap_or(u64::MAX);
    let values = [
        (*account).into(),
        after.as_bytes().into(),
        prefix.as_bytes().into(),
        end.as_slice().into(),
        (most + 1).into(),
    ];
    let rows = sql.query(LIST, &values)?;
    let more = rows.len() > MAX_LISTED;
    let info = |mut row: Row| {
        let name = row.bytes()?.ok_or(DbError::Impossible)?;
        let name = String::from_utf8(name).map_err(|_| DbError::Impossible)?;
        Ok(BlobInfo {
            name: BlobName::try_from(name).map_err(|_| DbError::Impossible)?,
            size: row.u64()?,
        })
    };
    let blobs: Result<Vec<_>, DbError> = rows.into_iter().take(MAX_LISTED).map(info).collect();
    Ok((blobs?, more))
}

/// Takes an object's name away; its bytes stay for the grace. `false`: there is none.
pub(crate) fn delete(
    sql: &mut dyn Sql,
    account: &AccountId,
    name: &BlobName,
    now: u64,
) -> Result<bool, DbError> {
    let rows = sql.query(DELETE, &[(*account).into(), name_value(name), now.into()])?;
    let Some(mut row) = rows.into_iter().next() else {
        return Ok(false);
    };
    let size = row.u64()?;
    sql.query(SET_ASIDE, &[(*account).into(), size.into()])?;
    Ok(true)
}

/// Gives an object that was deleted after `before` its name back, the newest of that name. `None`: there is none.
pub(crate) fn restore(
    sql: &mut dyn Sql,
    account: &AccountId,
    name: &BlobName,
    before: u64,
) -> Result<Option<Result<u64, Refused>>, DbError> {
    // What it used counts again, once.
    super::account::hold(sql, account)?;
    if find(sql, account, name)?.is_some() {
        return Ok(Some(Err(Refused::Exists)));
    }
    let values = [(*account).into(), name_value(name), before.into()];
    let Some(mut row) = sql.query(DELETED, &values)?.into_iter().next() else {
        return Ok(None);
    };
    let (object, size) = (row.fixed::<16>()?.ok_or(DbError::Impossible)?, row.u64()?);
    if sql
        .query(USE_AGAIN, &[(*account).into(), size.into()])?
        .is_empty()
    {
        let (used, quota) = super::account::usage(sql, account)?;
        return Ok(Some(Err(Refused::Quota { used, quota })));
    }
    if sql
        .query(RESTORE, &[(*account).into(), object.into()])?
        .is_empty()
    {
        // Its grace ended meanwhile, and whoever ended it counts it down.
        sql.query(SET_ASIDE, &[(*account).into(), size.into()])?;
        return Ok(None);
    }
    Ok(Some(Ok(size)))
}

/// Objects whose grace is over at `before`.
pub(crate) fn over(sql: &mut dyn Sql, before: u64) -> Result<Vec<(AccountId, Fixed<16>)>, DbError> {
    let rows = sql.query(OVER, &[before.into()])?;
    rows.into_iter()
        .map(|mut row| {
            let account = row.fixed()?.ok_or(DbError::Impossible)?;
            Ok((account, row.fixed()?.ok_or(DbError::Impossible)?))
        })
        .collect()
}

/// Forgets an object whose grace is over; its length. `None`: somebody was here before.
///
/// Before its bytes go: what nobody can bring back any more may be removed at leisure.
pub(crate) fn gone(
    sql: &mut dyn Sql,
    account: &AccountId,
    object: &Fixed<16>,
    before: u64,
) -> Result<Option<u64>, DbError> {
    // The account before its object, as everywhere; one that was deleted counts nothing any more.
    super::account::hold(sql, account)?;
    let values = [(*account).into(), (*object).into(), before.into()];
    let Some(mut row) = sql.query(GONE, &values)?.into_iter().next() else {
        return Ok(None);
    };
    let size = row.u64()?;
    sql.query(FREE_DELETED, &[(*account).into(), size.into()])?;
    Ok(Some(size))
}
