//! Passkeys that sign in. Found by the hash of tenant and credential id: one of another tenant is none.

use heirloom_vault_api::{AccountId, DeviceName, Fixed, MAX_PASSKEYS, SignInPasskey, TenantName};
use sha2::{Digest as _, Sha256};

use super::account;
use super::device::{name_value, read_name};
use crate::db::{DbError, Sql, Value};

const INSERT: &str = "INSERT INTO vault_passkey \
     (id, account, passkey, credential, handle, public_key, counter, eligible, name, created) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING RETURNING id";
const COUNT: &str = "SELECT count(*) FROM vault_passkey WHERE account = $1";
const FIND: &str =
    "SELECT account, handle, public_key, counter, eligible FROM vault_passkey WHERE id = $1";
const IDS: &str = "SELECT credential FROM vault_passkey WHERE account = $1 ORDER BY created";
const LIST: &str = "SELECT passkey, name, created, COALESCE(used, 0), eligible FROM vault_passkey \
     WHERE account = $1 ORDER BY created, passkey";
const REMOVE: &str =
    "DELETE FROM vault_passkey WHERE account = $1 AND passkey = $2 RETURNING passkey";
const USE: &str = "UPDATE vault_passkey SET counter = $1, used = $2 \
     WHERE id = $3 AND (counter < $1 OR counter = 0) RETURNING id";

/// A passkey as it was registered.
#[derive(Clone, Debug)]
pub(crate) struct NewPasskey {
    pub(crate) tenant: TenantName,
    pub(crate) account: AccountId,
    pub(crate) passkey: Fixed<16>,
    pub(crate) credential: Vec<u8>,
    pub(crate) handle: Fixed<32>,
    /// `COSE_Key`.
    pub(crate) public_key: Vec<u8>,
    pub(crate) counter: u32,
    /// Whether it is, or may be, on more than one device.
    pub(crate) eligible: bool,
}

/// One that may sign in.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) account: AccountId,
    pub(crate) handle: Fixed<32>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) counter: u32,
    pub(crate) eligible: bool,
}

fn id(tenant: &TenantName, credential: &[u8]) -> Value {
    let hash = Sha256::new()
        .chain_update(b"heirloom/vault/v1/passkey")
        .chain_update(tenant.as_str())
        .chain_update([0])
        .chain_update(credential);
    Value::Bytes(hash.finalize().to_vec())
}

/// Whether the account, which is held until then, may have another one.
pub(crate) fn has_room(sql: &mut dyn Sql, account: &AccountId) -> Result<bool, DbError> {
    if !account::hold(sql, account)? {
        return Ok(false);
    }
    let rows = sql.query(COUNT, &[(*account).into()])?;
    let there = rows.into_iter().next().ok_or(DbError::Impossible)?.u64()?;
    Ok(there < u64::try_from(MAX_PASSKEYS).unwrap_or(u64::MAX))
}

/// Keeps a passkey; `false` where this one is known already.
pub(crate) fn insert(
    sql: &mut dyn Sql,
    new: &NewPasskey,
    name: Option<&DeviceName>,
    now: u64,
) -> Result<bool, DbError> {
    let NewPasskey {
        tenant,
        account,
        passkey,
        credential,
        handle,
        public_key,
        counter,
        eligible,
    } = new;
    let values = [
        id(tenant, credential),
        (*account).into(),
        (*passkey).into(),
        credential.as_slice().into(),
        (*handle).into(),
        public_key.as_slice().into(),
        (*counter).into(),
        u32::from(*eligible).into(),
        name_value(name),
        now.into(),
    ];
    Ok(!sql.query(INSERT, &values)?.is_empty())
}

/// The passkey of a tenant's user.
pub(crate) fn find(
    sql: &mut dyn Sql,
    tenant: &TenantName,
    credential: &[u8],
) -> Result<Option<Stored>, DbError> {
    let rows = sql.query(FIND, &[id(tenant, credential)])?;
    let Some(mut row) = rows.into_iter().next() else {
        return Ok(None);
    };
    Ok(Some(Stored {
        account: row.fixed()?.ok_or(DbError::Impossible)?,
        handle: row.fixed()?.ok_or(DbError::Impossible)?,
        public_key: row.bytes()?.ok_or(DbError::Impossible)?,
        counter: row.u32()?,
        eligible: row.u64()? == 1,
    }))
}

/// Writes that it signed in; `false` where its counter did not go up, or it is gone.
pub(crate) fn used(
    sql: &mut dyn Sql,
    tenant: &TenantName,
    credential: &[u8],
    counter: u32,
    now: u64,
) -> Result<bool, DbError> {
    let values = [counter.into(), now.max(1).into(), id(tenant, credential)];
    Ok(!sql.query(USE, &values)?.is_empty())
}

/// Ids of the account's passkeys, so that none is made twice at one place.
pub(crate) fn ids(sql: &mut dyn Sql, account: &AccountId) -> Result<Vec<Vec<u8>>, DbError> {
    let rows = sql.query(IDS, &[(*account).into()])?;
    rows.into_iter()
        .map(|mut row| row.bytes()?.ok_or(DbError::Impossible))
        .collect()
}

/// The account's passkeys for a person.
pub(crate) fn list(sql: &mut dyn Sql, account: &AccountId) -> Result<Vec<SignInPasskey>, DbError> {
    let rows = sql.query(LIST, &[(*account).into()])?;
    rows.into_iter()
        .map(|mut row| {
            Ok(SignInPasskey {
                passkey: row.fixed()?.ok_or(DbError::Impossible)?,
                name: read_name(&mut row)?,
                created_ms: row.u64()?,
                used_ms: Some(row.u64()?).filter(|used| *used > 0),
                synced: row.u64()? == 1,
            })
        })
        .collect()
}

/// Removes one; `false` where the account has none of this id.
pub(crate) fn remove(
    sql: &mut dyn Sql,
    account: &AccountId,
    passkey: &Fixed<16>,
) -> Result<bool, DbError> {
    let values = [(*account).into(), (*passkey).into()];
    Ok(!sql.query(REMOVE, &values)?.is_empty())
}
