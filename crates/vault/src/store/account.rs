//! Accounts: opened by an invitation, by being the first, or by a messenger's word. Each belongs to one tenant.

use heirloom_vault_api::{AccountId, Code, Invite, TenantName, Token};
use sha2::{Digest as _, Sha256};

use super::device::{self, NewDevice};
use super::sweep;
use crate::db::{DbError, Sql, Value};

/// How long an invitation is good.
const INVITE_MS: u64 = 24 * 3600 * 1000;
/// Open invitations to one account, at most.
const MOST_INVITATIONS: u64 = 50;

fn invite_hash(invite: &Invite) -> Value {
    // 128 random bits need no stretching.
    let hash = Sha256::new()
        .chain_update(b"heirloom/vault/v1/invite")
        .chain_update(invite.0.as_bytes());
    Value::Bytes(hash.finalize().to_vec())
}

fn text(tenant: &TenantName) -> Value {
    tenant.as_str().as_bytes().into()
}

const ANY: &str = "SELECT account FROM vault_account LIMIT 1";
const LOOK: &str = "SELECT account, tenant FROM vault_invite WHERE hash = $1 AND expires > $2";
const TAKE: &str = "DELETE FROM vault_invite WHERE hash = $1 AND expires > $2 RETURNING hash";
const OPEN: &str = "INSERT INTO vault_account (account, created, used_bytes, quota_bytes, tenant) \
     VALUES ($1, $2, 0, $3, $4)";
const INVITE: &str =
    "INSERT INTO vault_invite (hash, account, expires, tenant) VALUES ($1, $2, $3, $4)";
const CLOSE: &str = "DELETE FROM vault_invite WHERE account = $1";
const INVITATIONS: &str = "SELECT count(*) FROM vault_invite WHERE account = $1 AND expires > $2";
const STALE: &str = "DELETE FROM vault_invite WHERE expires <= $1";
// As a record's `HOLD`.
const HOLD: &str =
    "UPDATE vault_account SET used_bytes = used_bytes WHERE account = $1 RETURNING account";
const USAGE: &str = "SELECT used_bytes, quota_bytes FROM vault_account WHERE account = $1";
const TENANT: &str = "SELECT tenant FROM vault_account WHERE account = $1";
const BY_SUBJECT: &str = "SELECT account FROM vault_subject WHERE hash = $1";
const VOUCH: &str = "INSERT INTO vault_subject (hash, account) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING RETURNING hash";

/// Keeps an account from everybody else until the transaction ends: for whoever counts what it has before adding to
/// it, or deletes it. `false`: there is none (any more).
pub(crate) fn hold(sql: &mut dyn Sql, account: &AccountId) -> Result<bool, DbError> {
    Ok(!sql.query(HOLD, &[(*account).into()])?.is_empty())
}

/// Whether there is no account yet. Two that ask at a time do so one after the other.
fn is_first(sql: &mut dyn Sql) -> Result<bool, DbError> {
    sweep::touch(sql)?;
    Ok(sql.query(ANY, &[])?.is_empty())
}

/// An account that does not exist yet.
#[derive(Debug)]
pub(crate) struct NewAccount {
    pub(crate) account: AccountId,
    pub(crate) tenant: TenantName,
    pub(crate) quota_bytes: u64,
}

/// A sign-in, with everything random made by the caller.
#[derive(Debug)]
pub(crate) struct NewSignIn {
    pub(crate) invite: Option<Invite>,
    /// One for each tenant: the invitation says which; without one it is the first.
    pub(crate) new: Vec<NewAccount>,
    pub(crate) device: NewDevice,
    /// Whether the first account of all needs no invitation.
    pub(crate) first_is_free: bool,
}

fn open(sql: &mut dyn Sql, new: &NewAccount, now: u64) -> Result<AccountId, DbError> {
    let NewAccount {
        account,
        tenant,
        quota_bytes,
    } = new;
    sql.query(
        OPEN,
        &[
            (*account).into(),
            now.into(),
            (*quota_bytes).into(),
            text(tenant),
        ],
    )?;
    Ok(*account)
}

/// Opens an account or lets another device into one.
pub(crate) fn sign_in(
    sql: &mut dyn Sql,
    new: &NewSignIn,
) -> Result<Result<AccountId, Code>, DbError> {
    let NewSignIn {
        invite,
        new,
        device,
        first_is_free,
    } = new;
    let now = device.now;
    let (existing, tenant) = match invite {
        Some(invite) => {
            let key = [invite_hash(invite), now.into()];
            let Some(mut row) = sql.query(LOOK, &key)?.into_iter().next() else {
                return Ok(Err(Code::SignInNeeded));
            };
            let (account, tenant) = (row.fixed()?, row.bytes()?);
            // An invitation is not used up by an account that is full of devices.
            if let Some(account) = account
                && !device::has_room(sql, &account)?
            {
                return Ok(Err(Code::TooManyDevices));
            }
            if sql.query(TAKE, &key)?.is_empty() {
                return Ok(Err(Code::SignInNeeded));
            }
            (account, tenant)
        }
        None if *first_is_free && is_first(sql)? => (None, None),
        None => return Ok(Err(Code::SignInNeeded)),
    };
    let account = if let Some(existing) = existing {
        existing
    } else {
        let of = |new: &&NewAccount| tenant.as_deref() == Some(new.tenant.as_str().as_bytes());
        let of_tenant = match &tenant {
            None => new.first(),
            Some(_) => new.iter().find(of),
        };
        // A tenant that was taken out of the configuration lets nobody in.
        let Some(new) = of_tenant else {
            return Ok(Err(Code::SignInNeeded));
        };
        open(sql, new, now)?
    };
    device::insert(sql, &account, device)?;
    Ok(Ok(account))
}

/// Signs in whom a messenger vouches for; opens their account the first time. `subject` is a keyed hash.
pub(crate) fn by_subject(
    sql: &mut dyn Sql,
    subject: &[u8; 32],
    new: &NewAccount,
    device: &NewDevice,
) -> Result<Result<AccountId, Code>, DbError> {
    let hash = || Value::Bytes(subject.to_vec());
    let vouched = sql.query(VOUCH, &[hash(), new.account.into()])?;
    let account = if vouched.is_empty() {
        let mut rows = sql.query(BY_SUBJECT, &[hash()])?.into_iter();
        let mut row = rows.next().ok_or(DbError::Impossible)?;
        row.fixed()?.ok_or(DbError::Impossible)?
    } else {
        open(sql, new, device.now)?
    };
    if !device::has_room(sql, &account)? {
        return Ok(Err(Code::TooManyDevices));
    }
    device::insert(sql, &account, device)?;
    Ok(Ok(account))
}

/// Why nobody was invited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotInvited {
    /// Whoever invites was signed out meanwhile.
    SignedOut,
    /// Too many invitations to this account are open.
    TooMany,
}

/// Stores an invitation to `account` of a device that is signed in to it by `token`.
pub(crate) fn invite_by(
    sql: &mut dyn Sql,
    token: &Token,
    account: &AccountId,
    code: &Invite,
    now: u64,
) -> Result<Result<(), NotInvited>, DbError> {
    if !device::is_signed_in(sql, account, token)? {
        return Ok(Err(NotInvited::SignedOut));
    }
    let rows = sql.query(INVITATIONS, &[(*account).into(), now.into()])?;
    let open = rows.into_iter().next().ok_or(DbError::Impossible)?.u64()?;
    if open >= MOST_INVITATIONS {
        return Ok(Err(NotInvited::TooMany));
    }
    invite(sql, code, Some(*account), None, now)?;
    Ok(Ok(()))
}

/// Ends every open invitation to `account`.
pub(crate) fn close_invitations(sql: &mut dyn Sql, account: &AccountId) -> Result<(), DbError> {
    sql.query(CLOSE, &[(*account).into()]).map(drop)
}

/// Stores an invitation, to `account` or to a new one of `tenant`.
pub(crate) fn invite(
    sql: &mut dyn Sql,
    invite: &Invite,
    account: Option<AccountId>,
    tenant: Option<&TenantName>,
    now: u64,
) -> Result<(), DbError> {
    sql.query(STALE, &[now.into()])?;
    let expires = now.saturating_add(INVITE_MS);
    let values = [
        invite_hash(invite),
        account.into(),
        expires.into(),
        tenant.map_or(Value::Null, text),
    ];
    sql.query(INVITE, &values).map(drop)
}

/// Used bytes and quota.
pub(crate) fn usage(sql: &mut dyn Sql, account: &AccountId) -> Result<(u64, u64), DbError> {
    let rows = sql.query(USAGE, &[(*account).into()])?;
    let mut row = rows.into_iter().next().ok_or(DbError::Impossible)?;
    Ok((row.u64()?, row.u64()?))
}

/// Whose the account is; `None` for one from before there were tenants, which is the first one's.
pub(crate) fn tenant(
    sql: &mut dyn Sql,
    account: &AccountId,
) -> Result<Option<TenantName>, DbError> {
    let rows = sql.query(TENANT, &[(*account).into()])?;
    let mut row = rows.into_iter().next().ok_or(DbError::Impossible)?;
    let Some(bytes) = row.bytes()? else {
        return Ok(None);
    };
    let name = std::str::from_utf8(&bytes).ok().and_then(TenantName::new);
    name.map(Some).ok_or(DbError::Impossible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::schema;

    #[test]
    fn no_statement_walks_through_everybodys_invitations() {
        let database = rusqlite::Connection::open_in_memory().unwrap();
        for layout in schema::after(0, schema::Dialect::Sqlite) {
            database.execute_batch(&layout).unwrap();
        }
        for (statement, index) in [
            (STALE, "vault_invite_expires"),
            (CLOSE, "vault_invite_account"),
            (INVITATIONS, "vault_invite_account"),
        ] {
            let mut plan = database
                .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
                .unwrap();
            let mut rows = plan.raw_query();
            let mut steps = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                steps.push(row.get::<_, String>("detail").unwrap());
            }
            assert!(
                steps.iter().any(|step| step.contains(index)),
                "{statement}: {steps:?}"
            );
        }
    }
}
