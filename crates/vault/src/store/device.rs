//! Devices: each token is one. Tokens are kept as hashes; one that another device ended is remembered for
//! 90 days, so that its device hears why.

use heirloom_vault_api::{AccountId, Device, DeviceId, DeviceName, MAX_DEVICES, SignedInBy, Token};
use sha2::{Digest as _, Sha256};

use super::account;
use crate::db::{DbError, Row, Sql, Value};

/// How long it is remembered that a device was signed out by another one.
const ENDED_MS: u64 = 90 * 24 * 3600 * 1000;
/// "Last seen" is written no more often.
const SEEN_MS: u64 = 3600 * 1000;

/// 256 random bits need no stretching.
pub(crate) fn token_hash(token: &Token) -> Value {
    let hash = Sha256::new()
        .chain_update(b"heirloom/vault/v1/token")
        .chain_update(token.0.as_bytes());
    Value::Bytes(hash.finalize().to_vec())
}

const BY_TOKEN: &str = "SELECT account, device, seen, COALESCE(ended, 0), entry FROM vault_token WHERE hash = $1 \
     AND NOT EXISTS (SELECT 1 FROM vault_disabled d WHERE d.account = vault_token.account)";
const SEEN: &str = "UPDATE vault_token SET seen = $1 WHERE hash = $2 AND ended IS NULL";
const LIVE: &str = "SELECT count(*) FROM vault_token WHERE account = $1 AND ended IS NULL";
const INSERT: &str = "INSERT INTO vault_token (hash, account, created, device, name, entry, seen) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";
const FORGET: &str = "DELETE FROM vault_token WHERE account = $1 AND ended <= $2";
const WHOSE: &str = "SELECT account FROM vault_token WHERE hash = $1 AND ended IS NULL";
const SIGN_OUT: &str =
    "DELETE FROM vault_token WHERE hash = $1 AND ended IS NULL RETURNING account";
const LIST: &str = "SELECT device, name, entry, created, seen FROM vault_token \
     WHERE account = $1 AND ended IS NULL ORDER BY created, device";
const END: &str = "UPDATE vault_token SET ended = $1 \
     WHERE account = $2 AND device = $3 AND ended IS NULL RETURNING device";

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A device that is signed in.
    Live {
        account: AccountId,
        device: DeviceId,
    },
    /// One that another device signed out.
    Ended,
    /// One that was not used for too long.
    Expired,
    /// Nothing.
    Unknown,
}

/// Whose token this is, if it was used within `unused_ms`.
pub(crate) fn by_token(
    sql: &mut dyn Sql,
    token: &Token,
    now: u64,
    unused_ms: u64,
) -> Result<Found, DbError> {
    let Some(mut row) = sql
        .query(BY_TOKEN, &[token_hash(token)])?
        .into_iter()
        .next()
    else {
        return Ok(Found::Unknown);
    };
    let account = row.fixed()?.ok_or(DbError::Impossible)?;
    let device = row.fixed()?.ok_or(DbError::Impossible)?;
    let (seen, ended, by) = (row.u64()?, row.u64()?, entry(row.u64()?)?);
    if ended > 0 {
        return Ok(Found::Ended);
    }
    // "Seen" is up to an hour old. The row stays, so that the device hears why. Paper lies in a drawer for years.
    if by != SignedInBy::Paper && now >= seen.saturating_add(SEEN_MS).saturating_add(unused_ms) {
        return Ok(Found::Expired);
    }
    if now >= seen.saturating_add(SEEN_MS) {
        sql.query(SEEN, &[now.into(), token_hash(token)])?;
    }
    Ok(Found::Live { account, device })
}

/// A device that signs in, with everything random made by the caller.
#[derive(Debug)]
pub(crate) struct NewDevice {
    pub(crate) token: Token,
    pub(crate) device: DeviceId,
    pub(crate) name: Option<DeviceName>,
    pub(crate) by: SignedInBy,
    pub(crate) now: u64,
}

/// Whether another device may sign in to `account`, which is held until it did.
pub(crate) fn has_room(sql: &mut dyn Sql, account: &AccountId) -> Result<bool, DbError> {
    if !account::hold(sql, account)? {
        return Ok(false);
    }
    let rows = sql.query(LIVE, &[(*account).into()])?;
    let live = rows.into_iter().next().ok_or(DbError::Impossible)?.u64()?;
    Ok(live < u64::try_from(MAX_DEVICES).unwrap_or(u64::MAX))
}

/// Stores a device; forgets which ones were signed out long ago.
pub(crate) fn insert(
    sql: &mut dyn Sql,
    account: &AccountId,
    new: &NewDevice,
) -> Result<(), DbError> {
    let NewDevice {
        token,
        device,
        name,
        by,
        now,
    } = new;
    let long_ago = now.saturating_sub(ENDED_MS);
    sql.query(FORGET, &[(*account).into(), long_ago.into()])?;
    let values = [
        token_hash(token),
        (*account).into(),
        (*now).into(),
        (*device).into(),
        name_value(name.as_ref()),
        number(*by).into(),
        (*now).into(),
    ];
    sql.query(INSERT, &values).map(drop)
}

fn whose(sql: &mut dyn Sql, token: &Token) -> Result<Option<AccountId>, DbError> {
    let rows = sql.query(WHOSE, &[token_hash(token)])?;
    let found = rows.into_iter().next();
    found
        .map(|mut row| row.fixed()?.ok_or(DbError::Impossible))
        .transpose()
}

/// Whether a device of `account`, which is held until the transaction ends, is signed in by this token.
pub(crate) fn is_signed_in(
    sql: &mut dyn Sql,
    account: &AccountId,
    token: &Token,
) -> Result<bool, DbError> {
    account::hold(sql, account)?;
    Ok(whose(sql, token)?.as_ref() == Some(account))
}

/// A device's own sign-out. Invitations to its account end with it.
pub(crate) fn sign_out(sql: &mut dyn Sql, token: &Token) -> Result<bool, DbError> {
    let Some(account) = whose(sql, token)? else {
        return Ok(false);
    };
    account::hold(sql, &account)?;
    if sql.query(SIGN_OUT, &[token_hash(token)])?.is_empty() {
        return Ok(false);
    }
    account::close_invitations(sql, &account)?;
    Ok(true)
}

/// The devices of `account`, as `present` sees them.
pub(crate) fn list(
    sql: &mut dyn Sql,
    account: &AccountId,
    present: &DeviceId,
) -> Result<Vec<Device>, DbError> {
    let rows = sql.query(LIST, &[(*account).into()])?;
    rows.into_iter().map(|row| read(row, present)).collect()
}

fn read(mut row: Row, present: &DeviceId) -> Result<Device, DbError> {
    let device = row.fixed()?.ok_or(DbError::Impossible)?;
    Ok(Device {
        device,
        name: read_name(&mut row)?,
        by: entry(row.u64()?)?,
        created_ms: row.u64()?,
        seen_ms: row.u64()?,
        present: device == *present,
    })
}

/// Signs a device of `account` out; `false` where it has none of this id.
///
/// Open invitations to the account end with it: the device may have made them to come back.
pub(crate) fn end(
    sql: &mut dyn Sql,
    account: &AccountId,
    device: &DeviceId,
    now: u64,
) -> Result<bool, DbError> {
    // Whoever is just inviting has done so before this, or finds its sign-in ended.
    account::hold(sql, account)?;
    let values = [now.max(1).into(), (*account).into(), (*device).into()];
    if sql.query(END, &values)?.is_empty() {
        return Ok(false);
    }
    account::close_invitations(sql, account)?;
    Ok(true)
}

pub(crate) fn name_value(name: Option<&DeviceName>) -> Value {
    name.map_or(Value::Null, |name| name.as_str().as_bytes().into())
}

pub(crate) fn read_name(row: &mut Row) -> Result<Option<DeviceName>, DbError> {
    let Some(bytes) = row.bytes()? else {
        return Ok(None);
    };
    let name = std::str::from_utf8(&bytes).ok().and_then(DeviceName::new);
    name.map(Some).ok_or(DbError::Impossible)
}

/// As it lies in a row. 1 is also what a row from before there were devices says.
fn number(by: SignedInBy) -> u32 {
    match by {
        SignedInBy::First => 2,
        SignedInBy::Passkey => 3,
        SignedInBy::Messenger => 4,
        SignedInBy::Paper => 5,
        SignedInBy::PasskeyElsewhere => 6,
        SignedInBy::Invitation | _ => 1,
    }
}

fn entry(number: u64) -> Result<SignedInBy, DbError> {
    Ok(match number {
        1 => SignedInBy::Invitation,
        2 => SignedInBy::First,
        3 => SignedInBy::Passkey,
        4 => SignedInBy::Messenger,
        5 => SignedInBy::Paper,
        6 => SignedInBy::PasskeyElsewhere,
        _ => return Err(DbError::Impossible),
    })
}
