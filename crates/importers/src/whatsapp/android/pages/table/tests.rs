use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::*;
use crate::sqlite::Values;

const COLUMNS: [&str; 5] = ["_id", "chat_row_id", "text_data", "nowhere", "later"];

fn database(dir: &Path, sql: &str) -> PathBuf {
    let path = dir.join("msgstore.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch(&format!("PRAGMA synchronous=OFF; {sql}"))
        .unwrap();
    path
}

fn values(row: &impl Cells) -> Vec<Value> {
    (0..COLUMNS.len())
        .map(|column| row.value(column).try_into().unwrap())
        .collect()
}

/// The rows, those that `SQLite` must read as their number alone, and whether the end was reached.
fn read(path: &Path) -> (Vec<Vec<Value>>, Vec<i64>, bool) {
    let database = Database::open(path).unwrap();
    let mut table = MessageRows::open(&database, &COLUMNS, None).unwrap();
    let (mut rows, mut others) = (Vec::new(), Vec::new());
    loop {
        match table.next() {
            Next::Row(row) => rows.push(values(&row)),
            Next::Other(row) => others.push(row),
            Next::End => return (rows, others, true),
            Next::Broken => return (rows, others, false),
        }
    }
}

fn by_sqlite(path: &Path) -> Vec<Vec<Value>> {
    let database = Database::open(path).unwrap();
    let sql = database
        .schema
        .select("message", "_id", &COLUMNS[1..])
        .unwrap();
    let mut query = database
        .connection
        .prepare(&format!("{sql} ORDER BY 1"))
        .unwrap();
    let rows = query.query_map([], |row| Ok(values(row))).unwrap();
    rows.map(Result::unwrap).collect()
}

const PLAIN: &str =
    "CREATE TABLE message(_id INTEGER PRIMARY KEY, chat_row_id INTEGER, text_data TEXT, later);";

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        (-300i64..300).prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Real),
        ".{0,90}".prop_map(Value::Text),
        "x{3000,9000}".prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(Value::Blob),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_row_is_what_sqlite_says_it_is(
        rows in proptest::collection::btree_map(any::<i64>(), (value(), value(), value()), 0..120),
        page in prop_oneof![Just(512), Just(4096), Just(65536)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = database(dir.path(), &format!("PRAGMA page_size={page}; {PLAIN}"));
        {
            let connection = Connection::open(&path).unwrap();
            connection.execute_batch("PRAGMA synchronous=OFF; BEGIN").unwrap();
            for (id, (chat, text, later)) in rows {
                connection
                    .execute("INSERT INTO message VALUES (?,?,?,?)", params_from_iter([Value::Integer(id), chat, text, later]))
                    .unwrap();
            }
            connection.execute_batch("COMMIT").unwrap();
        }
        let (rows, others, whole) = read(&path);
        prop_assert!(whole);
        let (long, short): (Vec<_>, Vec<_>) = by_sqlite(&path)
            .into_iter()
            .partition(|row| others.iter().any(|other| row[0] == Value::Integer(*other)));
        prop_assert_eq!(long.len(), others.len());
        prop_assert_eq!(rows, short);
    }

    #[test]
    fn a_file_that_was_changed_at_any_place_never_panics(at in 0usize..20_000, byte: u8) {
        let dir = tempfile::tempdir().unwrap();
        let path = database(dir.path(), &format!("{PLAIN} WITH RECURSIVE c(v) AS (SELECT 1 UNION ALL SELECT v+1 FROM c WHERE v<300)
            INSERT INTO message SELECT v, v, 'text number '||v, v FROM c"));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        std::fs::write(&path, bytes).unwrap();
        if let Ok(database) = Database::open(&path)
            && let Some(mut table) = MessageRows::open(&database, &COLUMNS, None)
        {
            let mut before = None;
            loop {
                match table.next() {
                    Next::Row(row) => {
                        for column in 0..COLUMNS.len() {
                            let _ = (Values::bytes(&row, column), Values::integer(&row, column));
                        }
                        assert!(before < Some(row.row), "rows rise");
                        before = Some(row.row);
                    }
                    Next::Other(row) => {
                        assert!(before < Some(row), "rows rise");
                        before = Some(row);
                    }
                    Next::End | Next::Broken => break,
                }
            }
        }
    }
}

#[test]
fn a_column_that_came_later_has_its_default_in_older_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = database(
        dir.path(),
        "CREATE TABLE message(_id INTEGER PRIMARY KEY, chat_row_id INTEGER); INSERT INTO message VALUES (1,1), (2,2);
         ALTER TABLE message ADD COLUMN text_data TEXT; INSERT INTO message VALUES (3,3,'c');
         ALTER TABLE message ADD COLUMN later TEXT DEFAULT 'said'; INSERT INTO message VALUES (4,4,'d',NULL)",
    );
    let (rows, others, whole) = read(&path);
    assert_eq!(others, [1, 2, 3]);
    assert!(whole);
    assert_eq!(rows, by_sqlite(&path)[3..]);
}

#[test]
fn what_a_record_does_not_say_is_left_to_sqlite() {
    for sql in [
        "CREATE TABLE message(_id INTEGER PRIMARY KEY, chat_row_id REAL, text_data TEXT)",
        "CREATE TABLE message(_id INTEGER PRIMARY KEY, chat_row_id INTEGER, twice AS (chat_row_id * 2) STORED, text_data TEXT)",
        "CREATE TABLE message(_id INT PRIMARY KEY, chat_row_id INTEGER, text_data TEXT)",
        "CREATE TABLE message(_id INTEGER PRIMARY KEY, chat_row_id INTEGER, text_data TEXT) WITHOUT ROWID",
        "PRAGMA encoding='UTF-16'; CREATE TABLE message(_id INTEGER PRIMARY KEY, chat_row_id INTEGER, text_data TEXT)",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = database(dir.path(), sql);
        let database = Database::open(&path).unwrap();
        assert!(
            MessageRows::open(&database, &COLUMNS, None).is_none(),
            "{sql}"
        );
    }
}
