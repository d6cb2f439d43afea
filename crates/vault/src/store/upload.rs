//! Uploads that can be gone on with: what is promised counts against the quota until it is there or given up.

use heirloom_vault_api::{AccountId, BlobName, Fixed};

use super::account;
use super::blob::{self, FREE, INSERT, Refused, name_value};
use crate::db::{DbError, Row, Sql};

/// How long an unfinished upload stays.
pub(crate) const LIFE_MS: u64 = 24 * 3600 * 1000;
/// Unfinished uploads of one account.
const MOST: u64 = 256;

const SAME: &str = "SELECT object FROM vault_upload \
     WHERE account = $1 AND name = $2 AND size = $3 AND hash = $4 AND expires > $5 LIMIT 1";
const COUNT: &str = "SELECT count(*) FROM vault_upload WHERE account = $1";
const BEGIN: &str = "INSERT INTO vault_upload (account, object, name, size, hash, expires) \
     VALUES ($1, $2, $3, $4, $5, $6)";
const FIND_UPLOAD: &str = "SELECT name, size, hash FROM vault_upload \
     WHERE account = $1 AND object = $2 AND expires > $3";
const END: &str =
    "DELETE FROM vault_upload WHERE account = $1 AND object = $2 RETURNING name, size, hash";
const OVER: &str = "SELECT account, object FROM vault_upload WHERE expires <= $1 LIMIT 100";
const KNOWN: &str = "SELECT size FROM vault_upload WHERE object = $1";

/// What a client said that it will send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) name: BlobName,
    pub(crate) size: u64,
    pub(crate) hash: Fixed<32>,
}

impl Upload {
    fn from_row(mut row: Row) -> Result<Self, DbError> {
        let name = row.bytes()?.ok_or(DbError::Impossible)?;
        let name = String::from_utf8(name).map_err(|_| DbError::Impossible)?;
        Ok(Self {
            name: BlobName::try_from(name).map_err(|_| DbError::Impossible)?,
            size: row.u64()?,
            hash: row.fixed()?.ok_or(DbError::Impossible)?,
        })
    }
}

/// Begins an upload as `object`, or gives the one that was begun with the same words.
pub(crate) fn begin(
    sql: &mut dyn Sql,
    account: &AccountId,
    object: Fixed<16>,
    upload: &Upload,
    now: u64,
) -> Result<Result<Fixed<16>, Refused>, DbError> {
    let Upload { name, size, hash } = upload;
    // Two that begin with the same words get the same upload, and the quota counts it once.
    account::hold(sql, account)?;
    if blob::find(sql, account, name)?.is_some() {
        return Ok(Err(Refused::Exists));
    }
    let words = [
        (*account).into(),
        name_value(name),
        (*size).into(),
        (*hash).into(),
        now.into(),
    ];
    if let Some(mut row) = sql.query(SAME, &words)?.into_iter().next() {
        return row.fixed()?.ok_or(DbError::Impossible).map(Ok);
    }
    let rows = sql.query(COUNT, &[(*account).into()])?;
    let mut count = rows.into_iter().next().ok_or(DbError::Impossible)?;
    if count.u64()? >= MOST {
        return Ok(Err(Refused::TooMany));
    }
    if let Err(why) = blob::take_room(sql, account, *size)? {
        return Ok(Err(why));
    }
    let values = [
        (*account).into(),
        object.into(),
        name_value(name),
        (*size).into(),
        (*hash).into(),
        now.saturating_add(LIFE_MS).into(),
    ];
    sql.query(BEGIN, &values)?;
    Ok(Ok(object))
}

/// What was promised.
pub(crate) fn find(
    sql: &mut dyn Sql,
    account: &AccountId,
    object: &Fixed<16>,
    now: u64,
) -> Result<Option<Upload>, DbError> {
    let values = [(*account).into(), (*object).into(), now.into()];
    let rows = sql.query(FIND_UPLOAD, &values)?;
    rows.into_iter().next().map(Upload::from_row).transpose()
}

/// Names an upload whose bytes are durable and right. `None`: there is no such upload, or no such account, any more.
pub(crate) fn finish(
    sql: &mut dyn Sql,
    account: &AccountId,
    object: &Fixed<16>,
) -> Result<Option<Result<Upload, Refused>>, DbError> {
    // An account that is just being deleted gets nothing more.
    let is_there = account::hold(sql, account)?;
    let Some(upload) = end(sql, account, object)?.filter(|_| is_there) else {
        return Ok(None);
    };
    let values = [
        (*account).into(),
        (*object).into(),
        name_value(&upload.name),
        upload.size.into(),
    ];
    // What it may use was taken when it began.
    if sql.query(INSERT, &values)?.is_empty() {
        sql.query(FREE, &[(*account).into(), upload.size.into()])?;
        return Ok(Some(Err(Refused::Exists)));
    }
    Ok(Some(Ok(upload)))
}

fn end(
    sql: &mut dyn Sql,
    account: &AccountId,
    object: &Fixed<16>,
) -> Result<Option<Upload>, DbError> {
    let rows = sql.query(END, &[(*account).into(), (*object).into()])?;
    rows.into_iter().next().map(Upload::from_row).transpose()
}

/// Gives an upload up, and what it may use back. `false`: there is none.
pub(crate) fn cancel(
    sql: &mut dyn Sql,
    account: &AccountId,
    object: &Fixed<16>,
) -> Result<bool, DbError> {
    // The account before its rows, as everywhere; an upload of none goes all the same.
    account::hold(sql, account)?;
    let Some(upload) = end(sql, account, object)? else {
        return Ok(false);
    };
    sql.query(FREE, &[(*account).into(), upload.size.into()])?;
    Ok(true)
}

/// Uploads whose time is over.
pub(crate) fn over(sql: &mut dyn Sql, now: u64) -> Result<Vec<(AccountId, Fixed<16>)>, DbError> {
    let rows = sql.query(OVER, &[now.into()])?;
    rows.into_iter()
        .map(|mut row| {
            let account = row.fixed()?.ok_or(DbError::Impossible)?;
            Ok((account, row.fixed()?.ok_or(DbError::Impossible)?))
        })
        .collect()
}

/// Whether an upload of this object is under way. Never asked of a stale copy: bytes go by it.
pub(crate) fn is_known(sql: &mut dyn Sql, object: &Fixed<16>) -> Result<bool, DbError> {
    sql.barrier()?;
    Ok(!sql.query(KNOWN, &[(*object).into()])?.is_empty())
}
