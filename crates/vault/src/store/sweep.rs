//! What time does: deadlines pass, rows of names that nobody registered are too many.

use heirloom_vault_api::RecordName;

use super::guess;
use super::record::{Record, State, keyed};
use crate::db::{DbError, Row, Sql};

/// Rows of names that nobody registered; beyond, the oldest go, and lock no more.
pub(crate) const SHADOWS: u64 = 1_000_000;

const PASSED: &str = "SELECT name FROM vault_record WHERE state = 2 AND deadline <= $1 LIMIT 100";
const SHADOW_COUNT: &str = "SELECT count(*) FROM vault_record WHERE account IS NULL";
const OLDEST: &str =
    "SELECT name FROM vault_record WHERE account IS NULL ORDER BY touched LIMIT $1";
const DROP_LOG: &str = "DELETE FROM vault_log WHERE shard = $1 AND name = $2";
const DROP: &str = "DELETE FROM vault_record WHERE shard = $1 AND name = $2 AND account IS NULL \
     RETURNING state";
const TOUCH: &str = "UPDATE vault_meta SET accepted = accepted WHERE id = 1 RETURNING id";
const ACCEPT: &str =
    "UPDATE vault_meta SET accepted = generation WHERE id = 1 RETURNING generation";

fn names(rows: Vec<Row>) -> Result<Vec<RecordName>, DbError> {
    rows.into_iter()
        .map(|mut row| row.fixed()?.ok_or(DbError::Impossible))
        .collect()
}

/// Records whose last guess was not proven in time.
pub(crate) fn passed(sql: &mut dyn Sql, now: u64) -> Result<Vec<RecordName>, DbError> {
    names(sql.query(PASSED, &[now.into()])?)
}

/// Destroys one of them, if it still is one.
pub(crate) fn destroy(sql: &mut dyn Sql, name: &RecordName, now: u64) -> Result<bool, DbError> {
    let Some(record) = Record::hold(sql, name)? else {
        return Ok(false);
    };
    if record.state != State::Final || now < record.deadline {
        return Ok(false);
    }
    guess::destroy(sql, name, &record, now)?;
    Ok(true)
}

/// How many rows of names that nobody registered are beyond `most`. Walks all of them.
pub(crate) fn superfluous(sql: &mut dyn Sql, most: u64) -> Result<u64, DbError> {
    let rows = sql.query(SHADOW_COUNT, &[])?;
    let mut row = rows.into_iter().next().ok_or(DbError::Impossible)?;
    Ok(row.u64()?.saturating_sub(most))
}

/// Drops the `number` oldest of them.
pub(crate) fn drop_oldest(sql: &mut dyn Sql, number: u64) -> Result<(), DbError> {
    for name in names(sql.query(OLDEST, &[number.into()])?)? {
        drop_shadow(sql, &name)?;
    }
    Ok(())
}

fn drop_shadow(sql: &mut dyn Sql, name: &RecordName) -> Result<(), DbError> {
    if sql.query(DROP, &keyed(name, []))?.is_empty() {
        return Ok(());
    }
    sql.query(DROP_LOG, &keyed(name, [])).map(drop)
}

/// Writes what is there already.
pub(crate) fn touch(sql: &mut dyn Sql) -> Result<(), DbError> {
    let rows = sql.query(TOUCH, &[])?;
    rows.first().map(|_| ()).ok_or(DbError::Impossible)
}

/// The operator takes a restored database as it is; gives the generation.
pub(crate) fn accept(sql: &mut dyn Sql) -> Result<u64, DbError> {
    let rows = sql.query(ACCEPT, &[])?;
    rows.into_iter().next().ok_or(DbError::Impossible)?.u64()
}
