//! Guesses, alone and small: counted, given back, destroyed.
//!
//! [`count`] is one conditional statement; its result is evaluated by the caller after the commit is
//! known. A name that nobody registered gets a row of the same kind, so that it locks as any other.

use heirloom_vault_api::{AccountId, Fixed, LogEntry, LogKind, RecordName, log_start};

use super::log;
use super::record::{
    FINAL_MS, GUESSES, LIFETIME, Record, STRANGERS_GUESSES, STRANGERS_LIFETIME, State, columns,
    keyed,
};
use crate::db::{DbError, Sql};

/// One guess, before it is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guess {
    pub(crate) name: RecordName,
    /// Who is signed in.
    pub(crate) account: Option<AccountId>,
    pub(crate) session: Fixed<16>,
    pub(crate) now: u64,
    /// The generation of the database, and up to which one it is accepted.
    pub(crate) standing: crate::generation::Standing,
}

/// What became of a guess.
#[derive(Debug)]
pub(crate) enum Counted {
    /// It counts, and may be evaluated once this is durable.
    Yes(Box<Record>),
    /// Wait so many milliseconds.
    Wait(u64),
    /// No more for a stranger.
    LockedOut,
    /// Gone for good; only the owner hears of it.
    Destroyed,
}

// After a restore that nobody accepted yet: as if strangers had used theirs up.
const RESTORED: &str = "UPDATE vault_record SET generation = $3, \
       guesses = CASE WHEN guesses < $4 THEN $4 ELSE guesses END \
     WHERE shard = $1 AND name = $2 AND generation < $3 AND state = 1";

// Back-off: before the fifth guess a minute, then ten, an hour, six, a day. The log: its kinds are `LogKind`'s numbers.
const COUNT: &str = concat!(
    "INSERT INTO vault_record (shard, name, state, guesses, failed, total, lifetime, proved, not_before, \
       deadline, session, generation, touched, newest, version, pending_version, pending_proved, \
       log_length, log_hash) \
     VALUES ($1, $2, 1, 1, 0, 1, 1, 0, 0, 0, $3, $4, $5, 0, 0, 0, 0, 1, $6) \
     ON CONFLICT (shard, name) DO UPDATE SET \
       guesses = vault_record.guesses + 1, \
       total = vault_record.total + 1, \
       lifetime = vault_record.lifetime + 1, \
       touched = $5, \
       session = $3, \
       session_state = NULL, \
       log_length = vault_record.log_length + 1, \
       log_hash = vault_log_hash(vault_record.log_hash, vault_record.log_length + 1, \
         CASE WHEN vault_record.account = $10 THEN 3 ELSE 2 END, vault_record.version, $5), \
       not_before = $5 + CASE \
         WHEN vault_record.guesses >= 8 THEN 86400000 \
         WHEN vault_record.guesses = 7 THEN 86400000 \
         WHEN vault_record.guesses = 6 THEN 21600000 \
         WHEN vault_record.guesses = 5 THEN 3600000 \
         WHEN vault_record.guesses = 4 THEN 600000 \
         WHEN vault_record.guesses = 3 THEN 60000 \
         ELSE 0 END, \
       state = CASE WHEN vault_record.guesses + 1 >= $7 OR vault_record.lifetime + 1 >= $8 THEN 2 ELSE 1 END, \
       deadline = CASE WHEN vault_record.guesses + 1 >= $7 OR vault_record.lifetime + 1 >= $8 \
         THEN $5 + $9 ELSE 0 END \
     WHERE vault_record.state = 1 AND vault_record.not_before <= $5 \
       AND vault_record.guesses < CASE WHEN vault_record.account = $10 THEN $7 ELSE $11 END \
       AND vault_record.lifetime < CASE WHEN vault_record.account = $10 THEN $8 ELSE $12 END \
     RETURNING ",
    columns!()
);

/// Counts one guess, or says why not.
pub(crate) fn count(sql: &mut dyn Sql, guess: &Guess) -> Result<Counted, DbError> {
    let Guess {
        name,
        account,
        session,
        now,
        standing,
    } = guess;
    if !standing.is_accepted() {
        sql.query(
            RESTORED,
            &keyed(name, [standing.generation.into(), STRANGERS_GUESSES.into()]),
        )?;
        let is_owner = match account {
            Some(account) => Record::of_owner(sql, name, account)?.is_some(),
            None => false,
        };
        if !is_owner {
            // Unknown names too, or they would show themselves.
            return Ok(Counted::LockedOut);
        }
    }
    let of_stranger = LogEntry {
        sequence: 1,
        kind: LogKind::Guess,
        version: 0,
        time_ms: *now,
    };
    let values = keyed(
        name,
        [
            (*session).into(),
            standing.generation.into(),
            (*now).into(),
            of_stranger.hash(&log_start(name)).into(),
            GUESSES.into(),
            LIFETIME.into(),
            FINAL_MS.into(),
            (*account).into(),
            STRANGERS_GUESSES.into(),
            STRANGERS_LIFETIME.into(),
        ],
    );
    let Some(record) = Record::one(sql.query(COUNT, &values)?)? else {
        return refuse(sql, guess);
    };
    let is_owner = account.is_some() && record.account == *account;
    let kind = if is_owner {
        LogKind::OwnersGuess
    } else {
        LogKind::Guess
    };
    let entry = LogEntry {
        sequence: record.log_length,
        kind,
        version: record.version,
        time_ms: *now,
    };
    log::tell(sql, name, &entry)?;
    Ok(Counted::Yes(Box::new(record)))
}

fn refuse(sql: &mut dyn Sql, guess: &Guess) -> Result<Counted, DbError> {
    let Guess {
        name, account, now, ..
    } = guess;
    // `COUNT` met the row, and so it is held already, although nothing in it changed: nobody proves it meanwhile.
    let record = Record::find(sql, name)?.ok_or(DbError::Impossible)?;
    let is_owner = account.is_some() && record.account == *account;
    if !is_owner {
        if record.state != State::Live
            || record.guesses >= STRANGERS_GUESSES
            || record.lifetime >= STRANGERS_LIFETIME
        {
            return Ok(Counted::LockedOut);
        }
        return Ok(Counted::Wait(record.not_before.saturating_sub(*now)));
    }
    match record.state {
        State::Live => Ok(Counted::Wait(record.not_before.saturating_sub(*now))),
        State::Final if *now < record.deadline => Ok(Counted::Wait(record.deadline - now)),
        State::Final => {
            destroy(sql, name, &record, *now)?;
            Ok(Counted::Destroyed)
        }
        State::Destroyed => Ok(Counted::Destroyed),
    }
}

// `NULL` in the row, the pages overwritten (`secure_delete`), the write-ahead log emptied by the sweeper.
const DESTROY: &str = "UPDATE vault_record SET state = 3, sealed = NULL, pending_sealed = NULL, \
       session = NULL, session_state = NULL, deadline = 0 \
     WHERE shard = $1 AND name = $2 AND state < 3";

/// Destroys a record's keys, for good.
pub(crate) fn destroy(
    sql: &mut dyn Sql,
    name: &RecordName,
    record: &Record,
    now: u64,
) -> Result<(), DbError> {
    sql.query(DESTROY, &keyed(name, []))?;
    let head = (record.log_length, &record.log_hash);
    log::append(sql, name, head, LogKind::Destroyed, record.version, now)?;
    Ok(())
}

const KEEP: &str = "UPDATE vault_record SET session_state = $4 \
     WHERE shard = $1 AND name = $2 AND session = $3 AND state = 2";

/// Keeps the last guess's session, so that a restart cannot take it away.
pub(crate) fn keep_session(
    sql: &mut dyn Sql,
    name: &RecordName,
    session: &Fixed<16>,
    state: &[u8],
) -> Result<(), DbError> {
    let values = keyed(name, [(*session).into(), state.into()]);
    sql.query(KEEP, &values).map(drop)
}

const KEPT: &str = "SELECT name, session_state FROM vault_record \
     WHERE state = 2 AND session = $1 AND session_state IS NOT NULL";

/// The last guess's session, after a restart.
pub(crate) fn kept_session(
    sql: &mut dyn Sql,
    session: &Fixed<16>,
) -> Result<Option<(RecordName, Vec<u8>)>, DbError> {
    let rows = sql.query(KEPT, &[(*session).into()])?;
    let Some(mut row) = rows.into_iter().next() else {
        return Ok(None);
    };
    let name = row.fixed()?.ok_or(DbError::Impossible)?;
    let state = row.bytes()?.ok_or(DbError::Impossible)?;
    Ok(Some((name, state)))
}

/// A guess whose KE3 was verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proven {
    pub(crate) name: RecordName,
    pub(crate) session: Fixed<16>,
    pub(crate) version: u32,
    pub(crate) number: u64,
    pub(crate) pending: bool,
    pub(crate) now: u64,
}

// `proved < number`: a proof of an older guess, sent after one of a newer guess, gives nothing back.
const PROVE: &str = concat!(
    "UPDATE vault_record SET failed = guesses - 1, guesses = 0, lifetime = lifetime - 1, not_before = 0, \
       state = 1, deadline = 0, proved = $4, session = NULL, session_state = NULL, touched = $6, \
       log_length = log_length + 1, \
       log_hash = vault_log_hash(log_hash, log_length + 1, 4, $3, $6) \
     WHERE shard = $1 AND name = $2 AND version = $3 AND proved < $4 AND guesses > 0 \
       AND (state = 1 OR (state = 2 AND session = $5 AND deadline > $6)) RETURNING ",
    columns!()
);

// The proof of a version that is not in force gives back its own guess and no other.
const PROVE_PENDING: &str = concat!(
    "UPDATE vault_record SET failed = CASE WHEN guesses > 0 THEN guesses - 1 ELSE 0 END, \
       guesses = CASE WHEN guesses > 0 THEN guesses - 1 ELSE 0 END, lifetime = lifetime - 1, \
       state = 1, deadline = 0, pending_proved = 1, proved = $4, session = NULL, session_state = NULL, \
       touched = $6, log_length = log_length + 1, \
       log_hash = vault_log_hash(log_hash, log_length + 1, 5, $3, $6) \
     WHERE shard = $1 AND name = $2 AND pending_version = $3 AND pending_sealed IS NOT NULL AND proved < $4 \
       AND (state = 1 OR (state = 2 AND session = $5 AND deadline > $6)) RETURNING ",
    columns!()
);

/// Gives the guesses back. `None`: something else happened meanwhile, and nothing changed.
pub(crate) fn prove(sql: &mut dyn Sql, proven: &Proven) -> Result<Option<Record>, DbError> {
    let Proven {
        name,
        session,
        version,
        number,
        pending,
        now,
    } = proven;
    let values = keyed(
        name,
        [
            (*version).into(),
            (*number).into(),
            (*session).into(),
            (*now).into(),
        ],
    );
    let (text, kind) = if *pending {
        (PROVE_PENDING, LogKind::PendingProved)
    } else {
        (PROVE, LogKind::Proved)
    };
    let Some(record) = Record::one(sql.query(text, &values)?)? else {
        return Ok(None);
    };
    let entry = LogEntry {
        sequence: record.log_length,
        kind,
        version: *version,
        time_ms: *now,
    };
    log::tell(sql, name, &entry)?;
    Ok(Some(record))
}
