//! Registration: pending, proven, active; another owner; forgotten.

use heirloom_vault_api::{
    AccountId, Fixed, Identity, LogKind, OwnerAct, OwnerPublic, RecordName, log_start,
};

use super::account;
use super::log;
use super::record::{Record, State, keyed};
use crate::db::{DbError, Sql, Value};

/// Why a registration did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NotFound,
    OwnerProofNeeded,
    Conflict,
    Destroyed,
}

/// A version to be stored.
#[derive(Debug)]
pub(crate) struct NewVersion {
    pub(crate) name: RecordName,
    pub(crate) account: AccountId,
    pub(crate) version: u32,
    pub(crate) sealed: Vec<u8>,
    pub(crate) registration: Fixed<16>,
    pub(crate) upload: Fixed<192>,
    pub(crate) next_owner: Fixed<32>,
    pub(crate) signature: Fixed<64>,
    pub(crate) identity: Identity,
    pub(crate) generation: u64,
    pub(crate) now: u64,
}

const CREATE: &str = "INSERT INTO vault_record (shard, name, account, state, guesses, failed, total, \
       lifetime, proved, not_before, deadline, generation, touched, newest, version, pending_version, \
       pending_sealed, pending_owner, pending_proved, log_length, log_hash) \
     VALUES ($1, $2, $3, 1, 0, 0, 0, 0, 0, 0, 0, $4, $5, 1, 0, 1, $6, $7, 0, 0, $8) \
     ON CONFLICT (shard, name) DO NOTHING RETURNING state";

// Counters are not touched: they are the record's, over all its versions.
const PEND: &str = "UPDATE vault_record SET newest = $3, pending_version = $3, pending_sealed = $4, \
       pending_owner = $5, pending_proved = 0, touched = $6 \
     WHERE shard = $1 AND name = $2 AND state = 1 AND newest < $3 RETURNING state";

/// The newest version's number and the record's state, for whoever wants to register the next one.
pub(crate) fn next_version(
    sql: &mut dyn Sql,
    name: &RecordName,
    account: &AccountId,
) -> Result<Result<u32, Refused>, DbError> {
    let Some(record) = Record::of_owner(sql, name, account)? else {
        return Ok(Err(Refused::NotFound));
    };
    if record.state != State::Live {
        return Ok(Err(Refused::Destroyed));
    }
    Ok(record.newest.checked_add(1).ok_or(Refused::Conflict))
}

/// Stores a pending version. An earlier pending one is overwritten; the active one stays in force.
pub(crate) fn pend(sql: &mut dyn Sql, new: &NewVersion) -> Result<Result<(), Refused>, DbError> {
    let NewVersion {
        name,
        account,
        version,
        sealed,
        registration,
        upload,
        next_owner,
        signature,
        identity,
        generation,
        now,
    } = new;
    let act = OwnerAct::Register {
        registration,
        upload,
        next_owner,
    };
    let agrees = |owner: &Fixed<32>| {
        OwnerPublic::new(owner)
            .and_then(|owner| owner.verify(identity, name, &act, signature))
            .is_ok()
    };
    let (head, rows) = if *version == 1 {
        if !agrees(next_owner) {
            return Ok(Err(Refused::OwnerProofNeeded));
        }
        if !account::hold(sql, account)? {
            return Ok(Err(Refused::NotFound));
        }
        let start = log_start(name);
        let values = keyed(
            name,
            [
                (*account).into(),
                (*generation).into(),
                (*now).into(),
                Value::Bytes(sealed.clone()),
                (*next_owner).into(),
                start.into(),
            ],
        );
        ((0, start), sql.query(CREATE, &values)?)
    } else {
        let Some(record) = Record::hold_of_owner(sql, name, account)? else {
            return Ok(Err(Refused::NotFound));
        };
        let in_force = record.owner.or(record.pending_owner);
        if !in_force.is_some_and(|owner| agrees(&owner)) || OwnerPublic::new(next_owner).is_err() {
            return Ok(Err(Refused::OwnerProofNeeded));
        }
        let values = keyed(
            name,
            [
                (*version).into(),
                Value::Bytes(sealed.clone()),
                (*next_owner).into(),
                (*now).into(),
            ],
        );
        let head = (record.log_length, record.log_hash);
        (head, sql.query(PEND, &values)?)
    };
    if rows.is_empty() {
        return Ok(Err(Refused::Conflict));
    }
    log::append(
        sql,
        name,
        (head.0, &head.1),
        LogKind::Registered,
        *version,
        *now,
    )?;
    Ok(Ok(()))
}

const ACTIVATE: &str = "UPDATE vault_record SET version = pending_version, sealed = pending_sealed, \
       owner = pending_owner, pending_version = 0, pending_sealed = NULL, pending_owner = NULL, \
       pending_proved = 0, touched = $4 \
     WHERE shard = $1 AND name = $2 AND pending_version = $3 AND pending_proved = 1 \
       AND pending_sealed IS NOT NULL AND state = 1 RETURNING state";
const OWN: &str = "UPDATE vault_record SET owner = $3, touched = $4 \
     WHERE shard = $1 AND name = $2 AND state = 1 AND sealed IS NOT NULL RETURNING state";
// The row stays as one of a name that nobody registered: whoever asks learns nothing.
const FORGET: &str = "UPDATE vault_record SET account = NULL, sealed = NULL, owner = NULL, \
       pending_sealed = NULL, pending_owner = NULL, pending_version = 0, pending_proved = 0, \
       session = NULL, session_state = NULL, touched = $3 \
     WHERE shard = $1 AND name = $2 RETURNING state";

/// What the owner in force asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    Activate(u32),
    ChangeOwner(Fixed<32>),
    Forget,
}

/// Does what the owner signed; nothing else can.
pub(crate) fn obey(
    sql: &mut dyn Sql,
    name: &RecordName,
    account: &AccountId,
    wish: Wish,
    (identity, signature): (&Identity, &Fixed<64>),
    now: u64,
) -> Result<Result<(), Refused>, DbError> {
    let Some(record) = Record::hold_of_owner(sql, name, account)? else {
        return Ok(Err(Refused::NotFound));
    };
    let Some(owner) = record.owner.or(record.pending_owner) else {
        return Ok(Err(Refused::Conflict));
    };
    let act = match &wish {
        Wish::Activate(version) => OwnerAct::Activate { version: *version },
        Wish::ChangeOwner(next_owner) => OwnerAct::ChangeOwner {
            owner: &owner,
            next_owner,
        },
        Wish::Forget => OwnerAct::Forget,
    };
    let agreed = OwnerPublic::new(&owner)
        .and_then(|owner| owner.verify(identity, name, &act, signature))
        .is_ok();
    if !agreed {
        return Ok(Err(Refused::OwnerProofNeeded));
    }
    let (kind, version, rows) = match wish {
        Wish::Activate(version) => {
            let values = keyed(name, [version.into(), now.into()]);
            (LogKind::Activated, version, sql.query(ACTIVATE, &values)?)
        }
        Wish::ChangeOwner(next_owner) => {
            if OwnerPublic::new(&next_owner).is_err() {
                return Ok(Err(Refused::OwnerProofNeeded));
            }
            let values = keyed(name, [next_owner.into(), now.into()]);
            (
                LogKind::OwnerChanged,
                record.version,
                sql.query(OWN, &values)?,
            )
        }
        Wish::Forget => {
            let values = keyed(name, [now.into()]);
            (
                LogKind::Destroyed,
                record.version,
                sql.query(FORGET, &values)?,
            )
        }
    };
    if rows.is_empty() {
        return Ok(Err(Refused::Conflict));
    }
    let head = (record.log_length, &record.log_hash);
    log::append(sql, name, head, kind, version, now)?;
    Ok(Ok(()))
}
