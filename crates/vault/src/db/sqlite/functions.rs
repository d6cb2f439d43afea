//! Functions that statements call: PostgreSQL keeps them in its schema, SQLite gets them with each connection.

use heirloom_vault_api::{Fixed, LogEntry, LogKind};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::Type;
use rusqlite::{Connection, Error};

/// Adds them to a connection.
pub(crate) fn add(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function(
        "vault_log_hash",
        5,
        FunctionFlags::SQLITE_UTF8
            | FunctionFlags::SQLITE_DETERMINISTIC
            | FunctionFlags::SQLITE_DIRECTONLY,
        log_hash,
    )
}

/// [`LogEntry::hash`] of a hash before, a sequence, a kind, a version and a time.
fn log_hash(context: &Context<'_>) -> rusqlite::Result<[u8; 32]> {
    let before: [u8; 32] = context.get(0)?;
    let kind: u8 = context.get(2)?;
    let entry = LogEntry {
        sequence: number(context, 1)?,
        kind: LogKind::from_number(kind).ok_or_else(|| wrong(2))?,
        version: context.get(3)?,
        time_ms: number(context, 4)?,
    };
    Ok(entry.hash(&Fixed(before)).0)
}

fn number(context: &Context<'_>, index: usize) -> rusqlite::Result<u64> {
    u64::try_from(context.get::<i64>(index)?).map_err(|_| wrong(index))
}

fn wrong(index: usize) -> Error {
    Error::InvalidFunctionParameterType(index, Type::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_entry_has_no_hash() {
        let connection = Connection::open_in_memory().unwrap();
        add(&connection).unwrap();
        let ask = |arguments: &str| {
            let text = format!("SELECT vault_log_hash({arguments})");
            connection.query_row(&text, [], |row| row.get::<_, [u8; 32]>(0))
        };
        let entry = LogEntry {
            sequence: 7,
            kind: LogKind::Guess,
            version: 3,
            time_ms: 9,
        };
        assert_eq!(
            ask("zeroblob(32), 7, 2, 3, 9").unwrap(),
            entry.hash(&Fixed([0; 32])).0
        );
        for wrong in [
            "zeroblob(31), 7, 2, 3, 9",
            "zeroblob(32), -7, 2, 3, 9",
            "zeroblob(32), 7, 9, 3, 9",
            "zeroblob(32), 7, 2, NULL, 9",
        ] {
            assert!(ask(wrong).is_err(), "{wrong}");
        }
    }
}
