//! Accounts by invitation; tokens and invitations are kept as hashes.

use heirloom_vault_api::{AccountId, Invite, Token};
use sha2::{Digest as _, Sha256};

use crate::db::{DbError, Sql, Value};

/// How long an invitation is good.
const INVITE_MS: u64 = 24 * 3600 * 1000;

fn hash(label: &[u8], secret: &[u8]) -> Value {
    // 128 random bits and more need no stretching.
    Value::Bytes(Sha256::digest([label, secret].concat()).to_vec())
}

fn token_hash(token: &Token) -> Value {
    hash(b"heirloom/vault/v1/token", token.0.as_bytes())
}

fn invite_hash(invite: &Invite) -> Value {
    hash(b"heirloom/vault/v1/invite", invite.0.as_bytes())
}

const BY_TOKEN: &str = "SELECT account FROM vault_token WHERE hash = $1";
const ANY: &str = "SELECT account FROM vault_account LIMIT 1";
const TAKE: &str = "DELETE FROM vault_invite WHERE hash = $1 AND expires > $2 RETURNING account";
const OPEN: &str =
    "INSERT INTO vault_account (account, created, used_bytes, quota_bytes) VALUES ($1, $2, 0, $3)";
const SIGN_IN: &str = "INSERT INTO vault_token (hash, account, created) VALUES ($1, $2, $3)";
const SIGN_OUT: &str = "DELETE FROM vault_token WHERE hash = $1 RETURNING account";
const INVITE: &str = "INSERT INTO vault_invite (hash, account, expires) VALUES ($1, $2, $3)";
const STALE: &str = "DELETE FROM vault_invite WHERE expires <= $1";
const USAGE: &str = "SELECT used_bytes, quota_bytes FROM vault_account WHERE account = $1";

/// Whose token this is.
pub(crate) fn by_token(sql: &mut dyn Sql, token: &Token) -> Result<Option<AccountId>, DbError> {
    let rows = sql.query(BY_TOKEN, &[token_hash(token)])?;
    rows.into_iter()
        .next()
        .map_or(Ok(None), |mut row| row.fixed())
}

/// A sign-in, with everything random made by the caller.
#[derive(Debug)]
pub(crate) struct NewSignIn {
    pub(crate) invite: Option<Invite>,
    /// For an account that does not exist yet.
    pub(crate) account: AccountId,
    pub(crate) token: Token,
    pub(crate) quota_bytes: u64,
    /// Whether the first account of all needs no invitation.
    pub(crate) first_is_free: bool,
    pub(crate) now: u64,
}

/// Opens an account or lets another device into one. `None`: not invited.
pub(crate) fn sign_in(sql: &mut dyn Sql, new: &NewSignIn) -> Result<Option<AccountId>, DbError> {
    let NewSignIn {
        invite,
        account,
        token,
        quota_bytes,
        first_is_free,
        now,
    } = new;
    let existing = match invite {
        Some(invite) => {
            let rows = sql.query(TAKE, &[invite_hash(invite), (*now).into()])?;
            let Some(mut row) = rows.into_iter().next() else {
                return Ok(None);
            };
            row.fixed()?
        }
        None if *first_is_free && sql.query(ANY, &[])?.is_empty() => None,
        None => return Ok(None),
    };
    let account = if let Some(existing) = existing {
        existing
    } else {
        let values = [(*account).into(), (*now).into(), (*quota_bytes).into()];
        sql.query(OPEN, &values)?;
        *account
    };
    sql.query(SIGN_IN, &[token_hash(token), account.into(), (*now).into()])?;
    Ok(Some(account))
}

/// Ends a sign-in.
pub(crate) fn sign_out(sql: &mut dyn Sql, token: &Token) -> Result<bool, DbError> {
    Ok(!sql.query(SIGN_OUT, &[token_hash(token)])?.is_empty())
}

/// Stores an invitation, to `account` or to a new one.
pub(crate) fn invite(
    sql: &mut dyn Sql,
    invite: &Invite,
    account: Option<AccountId>,
    now: u64,
) -> Result<(), DbError> {
    sql.query(STALE, &[now.into()])?;
    let expires = now.saturating_add(INVITE_MS);
    sql.query(
        INVITE,
        &[invite_hash(invite), account.into(), expires.into()],
    )
    .map(drop)
}

/// Used bytes and quota.
pub(crate) fn usage(sql: &mut dyn Sql, account: &AccountId) -> Result<(u64, u64), DbError> {
    let rows = sql.query(USAGE, &[(*account).into()])?;
    let mut row = rows.into_iter().next().ok_or(DbError::Impossible)?;
    Ok((row.u64()?, row.u64()?))
}
