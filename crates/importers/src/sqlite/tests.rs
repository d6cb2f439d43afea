use super::*;

fn made(dir: &Path, sql: &str) -> PathBuf {
    let path = dir.join("a b#1%?.db");
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    path
}

fn listing(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn opening_leaves_no_trace_whatever_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(
        dir.path(),
        "CREATE TABLE t(_id INTEGER PRIMARY KEY, X TEXT); CREATE INDEX i ON t(X, _id)",
    );
    let database = Database::open(&path).unwrap();
    let table = database.schema.table("t").unwrap();
    assert_eq!(table.row_id.as_deref(), Some("_id"));
    assert!(database.schema.seekable("t", "x") && !database.schema.has("t", "y"));
    assert_eq!(listing(dir.path()), ["a b#1%?.db"]);
}

#[test]
fn rows_of_a_journal_are_read_and_the_source_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.db");
    let live = Connection::open(&path).unwrap();
    live.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1); ")
        .unwrap();
    let before: Vec<(String, Vec<u8>)> = listing(dir.path())
        .into_iter()
        .map(|name| (name.clone(), fs::read(dir.path().join(name)).unwrap()))
        .collect();
    assert!(fs::metadata(dir.path().join("live.db-wal")).unwrap().len() > 0);
    let database = Database::open(&path).unwrap();
    let count: i64 = database
        .connection
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
    for (name, bytes) in before {
        assert_eq!(fs::read(dir.path().join(&name)).unwrap(), bytes, "{name}");
    }
}

#[test]
fn a_view_is_not_taken_for_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(
        dir.path(),
        "CREATE TABLE t(a); CREATE VIEW message AS SELECT a AS _id FROM t",
    );
    assert!(
        Database::open(&path)
            .unwrap()
            .schema
            .table("message")
            .is_none()
    );
}

#[test]
fn what_is_no_database_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    for content in [
        &b""[..],
        b"hello",
        b"hello, this is no database at all",
        b"SQLite format 3\0 and then nothing",
    ] {
        fs::write(&path, content).unwrap();
        let error = Database::open(&path).unwrap_err();
        assert!(matches!(error, SourceError::Damaged { .. }), "{error}");
    }
}

#[test]
fn nothing_can_be_written_through_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(dir.path(), "CREATE TABLE t(a)");
    let database = Database::open(&path).unwrap();
    assert!(
        database
            .connection
            .execute("INSERT INTO t VALUES (1)", [])
            .is_err()
    );
    assert!(
        database
            .connection
            .execute("ATTACH ':memory:' AS other", [])
            .is_err()
    );
}
