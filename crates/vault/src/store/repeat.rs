//! Answers that are given again to the same request with the same key, for a day.
//!
//! An answer may hold a token, so it is sealed under the request itself: under a key that is derived from the
//! sign-in's token, the idempotency key and the body, none of which the server keeps. Whoever steals the database,
//! or the database and the server's keys, opens none of them. It is stored in the transaction of what it tells of.

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use secrecy::{ExposeSecret as _, SecretBox};
use zeroize::Zeroizing;

use crate::db::{DbError, Sql, Value};

/// How long an answer is kept.
pub(crate) const KEPT_MS: u64 = 24 * 3600 * 1000;
const TAG_BYTES: usize = 16;

const STALE: &str = "DELETE FROM vault_repeat WHERE expires <= $1";
const FIND: &str =
    "SELECT request, nonce, answer FROM vault_repeat WHERE name = $1 AND expires > $2";
// Whoever comes second waits here until the first one's answer is there.
const CLAIM: &str = "INSERT INTO vault_repeat (name, request, nonce, answer, expires) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING RETURNING expires";
const KEEP: &str = "UPDATE vault_repeat SET answer = $2 WHERE name = $1 RETURNING expires";
const GIVE_UP: &str = "DELETE FROM vault_repeat WHERE name = $1";

/// A request that may come again.
#[derive(Debug)]
pub(crate) struct Once {
    /// Of the route, the sign-in and the idempotency key.
    pub(crate) name: [u8; 32],
    /// Of these and the body, keyed by them.
    pub(crate) request: [u8; 32],
    /// Of the same, for the answer.
    pub(crate) seal: SecretBox<[u8; 32]>,
    /// Random, for an answer that is stored now.
    pub(crate) nonce: [u8; 12],
}

/// What is known of it.
#[derive(Debug)]
pub(crate) enum Known {
    /// It never came.
    New,
    /// It came, and was answered so.
    Answered(Zeroizing<Vec<u8>>),
    /// Another request came with this key.
    Another,
}

/// Looks whether it came.
pub(crate) fn find(sql: &mut dyn Sql, once: &Once, now: u64) -> Result<Known, DbError> {
    let key = [once.name.as_slice().into(), now.into()];
    let Some(mut row) = sql.query(FIND, &key)?.into_iter().next() else {
        return Ok(Known::New);
    };
    let request = row.bytes()?.ok_or(DbError::Impossible)?;
    let nonce = row.bytes()?.ok_or(DbError::Impossible)?;
    let mut answer = Zeroizing::new(row.bytes()?.ok_or(DbError::Impossible)?);
    if request != once.request {
        return Ok(Known::Another);
    }
    let length = answer
        .len()
        .checked_sub(TAG_BYTES)
        .ok_or(DbError::Impossible)?;
    let tag = Tag::try_from(answer.get(length..).unwrap_or_default());
    let nonce = Nonce::try_from(nonce.as_slice()).map_err(|_| DbError::Impossible)?;
    answer.truncate(length);
    once.cipher()
        .decrypt_inout_detached(
            &nonce,
            &once.name,
            answer.as_mut_slice().into(),
            &tag.map_err(|_| DbError::Impossible)?,
        )
        .map_err(|_| DbError::Impossible)?;
    Ok(Known::Answered(answer))
}

/// Looks whether it came, and keeps its name from everybody else until the transaction ends. What is new is to be
/// [kept](keep) or [given up](give_up) in the same transaction.
pub(crate) fn claim(sql: &mut dyn Sql, once: &Once, now: u64) -> Result<Known, DbError> {
    sql.query(STALE, &[now.into()])?;
    let values = [
        once.name.as_slice().into(),
        once.request.as_slice().into(),
        once.nonce.as_slice().into(),
        Value::Bytes(Vec::new()),
        now.saturating_add(KEPT_MS).into(),
    ];
    if !sql.query(CLAIM, &values)?.is_empty() {
        return Ok(Known::New);
    }
    match find(sql, once, now)? {
        Known::New => Err(DbError::Impossible),
        known => Ok(known),
    }
}

/// Keeps the answer to what was claimed.
pub(crate) fn keep(sql: &mut dyn Sql, once: &Once, answer: &[u8]) -> Result<(), DbError> {
    let mut sealed = answer.to_vec();
    let tag = once
        .cipher()
        .encrypt_inout_detached(
            &Nonce::from(once.nonce),
            &once.name,
            sealed.as_mut_slice().into(),
        )
        .map_err(|_| DbError::Impossible)?;
    sealed.extend_from_slice(&tag);
    let values = [once.name.as_slice().into(), Value::Bytes(sealed)];
    let rows = sql.query(KEEP, &values)?;
    rows.first().map(|_| ()).ok_or(DbError::Impossible)
}

/// Forgets what was claimed: it was refused, and may come again.
pub(crate) fn give_up(sql: &mut dyn Sql, once: &Once) -> Result<(), DbError> {
    sql.query(GIVE_UP, &[once.name.as_slice().into()]).map(drop)
}

impl Once {
    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.seal.expose_secret().into())
    }
}
