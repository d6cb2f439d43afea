//! Which tables and columns a database really has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rusqlite::Connection;

/// A database with more tables or columns than this is no messenger's.
const TABLES_MAX: usize = 4096;

/// The plain tables of a database. Views and virtual tables are not among them: they would run a stranger's SQL.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    tables: BTreeMap<String, Table>,
}

/// One table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Its first page.
    pub(crate) root: i64,
    /// Lower-case names and places of the columns, generated ones left out.
    pub(crate) columns: BTreeMap<String, usize>,
    /// The column that is the row's number.
    pub(crate) row_id: Option<String>,
    /// Whether it is an ordinary b-tree by row number.
    pub(crate) has_row_id: bool,
    /// Whether a column is computed: then the places are not those in a record.
    pub(crate) has_generated: bool,
    /// Columns whose value is not the one in the record: real numbers, which may lie there as whole ones.
    pub(crate) reals: BTreeSet<String>,
    /// Columns that are not `NULL` where a record is too short to have them.
    pub(crate) defaults: BTreeSet<String>,
    /// The columns of each index, in order.
    pub(crate) indexes: Vec<Vec<String>>,
}

impl Schema {
    pub(super) fn probe(connection: &Connection) -> rusqlite::Result<Self> {
        let mut tables = BTreeMap::new();
        let mut query = connection.prepare(
            "SELECT s.name, s.rootpage, l.wr FROM sqlite_schema s JOIN pragma_table_list l
             ON l.name = s.name AND l.schema = 'main' AND l.type = 'table' WHERE s.type = 'table' AND s.rootpage > 0",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (Ok(name), Ok(root), Ok(without)) =
                (row.get::<_, String>(0), row.get(1), row.get::<_, i64>(2))
            else {
                continue;
            };
            tables.insert(
                name,
                Table {
                    root,
                    has_row_id: without == 0,
                    ..Table::default()
                },
            );
            if tables.len() >= TABLES_MAX {
                break;
            }
        }
        for (name, table) in &mut tables {
            table.probe(connection, name)?;
        }
        Ok(Self {
            tables: tables
                .into_iter()
                .map(|(name, table)| (name.to_ascii_lowercase(), table))
                .collect(),
        })
    }

    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// Whether `table` has the column.
    pub(crate) fn has(&self, table: &str, column: &str) -> bool {
        self.table(table)
            .is_some_and(|table| table.columns.contains_key(column))
    }

    /// `alias.column`, or `NULL` where there is no such column.
    pub(crate) fn column(&self, table: &str, alias: &str, column: &str) -> String {
        if self.has(table, column) {
            format!("{alias}.\"{column}\"")
        } else {
            "NULL".to_owned()
        }
    }

    /// `SELECT key, columns… FROM table`; missing columns are `NULL`. `None` where table or key is missing.
    pub(crate) fn select(&self, table: &str, key: &str, columns: &[&str]) -> Option<String> {
        if !self.has(table, key) {
            return None;
        }
        let mut sql = format!("SELECT t.\"{key}\"");
        for column in columns {
            let _ = write!(sql, ", {}", self.column(table, "t", column));
        }
        let _ = write!(sql, " FROM \"{table}\" t");
        Some(sql)
    }

    /// Whether rows of a range of `column` are found without reading the whole table.
    pub(crate) fn seekable(&self, table: &str, column: &str) -> bool {
        self.table(table).is_some_and(|table| {
            table.row_id.as_deref() == Some(column)
                || table
                    .indexes
                    .iter()
                    .any(|index| index.first().is_some_and(|first| first == column))
        })
    }
}

impl Table {
    fn probe(&mut self, connection: &Connection, name: &str) -> rusqlite::Result<()> {
        let mut query = connection
            .prepare("SELECT cid, lower(name), upper(type), pk, dflt_value IS NOT NULL FROM pragma_table_info(?1)")?;
        let mut keys = BTreeSet::new();
        let mut rows = query.query([name])?;
        while let Some(row) = rows.next()? {
            let (Ok(place), Ok(column)) = (row.get::<_, i64>(0), row.get::<_, String>(1)) else {
                continue;
            };
            let kind: String = row.get(2).unwrap_or_default();
            if row.get::<_, i64>(3).unwrap_or(0) > 0 {
                keys.insert((column.clone(), kind == "INTEGER"));
            }
            if is_real(&kind) {
                self.reals.insert(column.clone());
            }
            if row.get::<_, bool>(4).unwrap_or(true) {
                self.defaults.insert(column.clone());
            }
            // A quote in a column's name is nothing that any messenger writes.
            if !column.contains('"') {
                self.columns
                    .insert(column, usize::try_from(place).unwrap_or(usize::MAX));
            }
        }
        if let (1, Some((column, true)), true) =
            (keys.len(), keys.first().cloned(), self.has_row_id)
        {
            self.row_id = Some(column);
        }
        let mut generated =
            connection.prepare("SELECT 1 FROM pragma_table_xinfo(?1) WHERE hidden <> 0")?;
        self.has_generated = generated.exists([name])?;
        let mut query = connection.prepare(
            "SELECT l.seq, lower(i.name) FROM pragma_index_list(?1) l, pragma_index_info(l.name) i
             WHERE l.partial = 0 ORDER BY l.seq, i.seqno",
        )?;
        let mut rows = query.query([name])?;
        let mut of = None;
        while let Some(row) = rows.next()? {
            let index: i64 = row.get(0)?;
            if of != Some(index) {
                self.indexes.push(Vec::new());
                of = Some(index);
            }
            if let Some(columns) = self.indexes.last_mut() {
                columns.push(row.get::<_, Option<String>>(1)?.unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// Whether a column of this type (in upper case) has the affinity REAL: <https://sqlite.org/datatype3.html>, 3.1.
fn is_real(kind: &str) -> bool {
    let has = |part: &str| kind.contains(part);
    let other = ["INT", "CHAR", "CLOB", "TEXT", "BLOB"].into_iter().any(has);
    !other && ["REAL", "FLOA", "DOUB"].into_iter().any(has)
}
