//! At the start: tables made or migrated under a lock, and the database held against the watermark.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::connection::{Committed, Connection, Fault};
use crate::db::sqlite::OpenError;
use crate::db::{DbError, Row, Value, schema};
use crate::generation::Standing;
use crate::generation::marks::{Held, Marks, SLOTS};

/// For a migration, and for whoever waits for one.
const MIGRATION: Duration = Duration::from_mins(30);

// "heirloom" as a number: one server at a time. Read committed, so that who waited sees what the other made.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; \
     SELECT pg_advisory_xact_lock(7522534692758712173)";
const IS_THERE: &str = "SELECT count(*) FROM pg_class WHERE oid = to_regclass('vault_meta')";
const FIRST: &str = "INSERT INTO vault_meta (id, layout, database, sequence, generation, accepted) \
     VALUES (1, $1, $2, 0, 1, 1)";
const META: &str = "SELECT layout, database, generation, accepted FROM vault_meta WHERE id = 1";
const LAYOUT: &str = "UPDATE vault_meta SET layout = $1 WHERE id = 1 AND layout < $1";
const RESTORED: &str =
    "UPDATE vault_meta SET generation = GREATEST(generation, $1) + 1 WHERE id = 1";
const FOUND: &str = "SELECT slot, sequence FROM vault_mark WHERE server = $1";
const RECORDS: &str = "SELECT 1 FROM vault_record WHERE account IS NOT NULL LIMIT 1";

/// What a database told of itself.
pub(crate) struct Found {
    pub(crate) database: [u8; 16],
    pub(crate) generation: u64,
    /// This server's slots and their commits.
    pub(crate) slots: Vec<(u64, u64)>,
}

/// A database that may be used.
pub(crate) struct Stood {
    pub(crate) standing: Standing,
    pub(crate) server: [u8; 16],
    pub(crate) holds_records: bool,
}

/// What is in `vault_meta`.
struct Meta {
    layout: u64,
    database: [u8; 16],
    standing: Standing,
}

fn impossible() -> Fault {
    Fault::Refused(DbError::Impossible)
}

async fn meta(connection: &mut Connection) -> Result<Meta, Fault> {
    let rows = connection.query(META, &[], false).await?;
    let read = |mut row: Row| -> Result<Meta, DbError> {
        Ok(Meta {
            layout: row.u64()?,
            database: row.fixed()?.ok_or(DbError::Impossible)?.0,
            standing: Standing {
                generation: row.u64()?,
                accepted: row.u64()?,
            },
        })
    };
    let row = rows.into_iter().next().ok_or_else(impossible)?;
    read(row).map_err(Fault::Refused)
}

async fn slots(connection: &mut Connection, server: &[u8; 16]) -> Result<Vec<(u64, u64)>, Fault> {
    let rows = connection.query(FOUND, &[server[..].into()], false).await?;
    rows.into_iter()
        .map(|mut row| Ok((row.u64()?, row.u64()?)))
        .collect::<Result<_, DbError>>()
        .map_err(Fault::Refused)
}

/// Looks whether a database is the one that was opened, in a layout that is known.
pub(crate) async fn found(connection: &mut Connection, server: &[u8; 16]) -> Result<Found, Fault> {
    let Meta {
        layout,
        database,
        standing,
    } = meta(connection).await?;
    if layout != schema::newest() {
        let text = format!("the database has layout {layout}: another version migrated it");
        return Err(Fault::Refused(DbError::Engine(text)));
    }
    Ok(Found {
        database,
        generation: standing.generation,
        slots: slots(connection, server).await?,
    })
}

/// Makes the tables or migrates them; notices a database that is older than the watermark.
///
/// `fresh` are names for the database and for this server, where they have none yet.
pub(crate) fn stand(
    runtime: &Runtime,
    connection: &mut Connection,
    marks: &Marks,
    fresh: ([u8; 16], [u8; 16]),
    connections: usize,
) -> Result<Stood, OpenError> {
    connection.deadline = MIGRATION;
    let stood = runtime.block_on(stood(connection, marks, fresh, connections));
    let (stood, held) = stood.map_err(|error| match error {
        Refused::Open(error) => error,
        Refused::Fault(fault) => OpenError::Server(fault.into_error().to_string()),
    })?;
    match runtime.block_on(connection.commit(&[], None)) {
        Committed::Yes(_) => (),
        Committed::No(fault) => return Err(OpenError::Server(fault.into_error().to_string())),
        Committed::Unknown => {
            let text = "it is not known whether the tables were stored";
            return Err(OpenError::Server(text.to_owned()));
        }
    }
    marks.raise(held)?;
    Ok(stood)
}

enum Refused {
    Fault(Fault),
    Open(OpenError),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

async fn stood(
    connection: &mut Connection,
    marks: &Marks,
    fresh: ([u8; 16], [u8; 16]),
    connections: usize,
) -> Result<(Stood, Held), Refused> {
    connection.batch(BEGIN).await?;
    let there = connection.query(IS_THERE, &[], false).await?;
    let there = there.into_iter().next().ok_or_else(impossible)?.u64();
    let is_there = there.map_err(Fault::Refused)? > 0;
    if !is_there {
        for layout in schema::after(0, schema::Dialect::Postgres) {
            connection.batch(&layout).await?;
        }
        let values = [schema::newest().into(), Value::from(&fresh.0[..])];
        connection.query(FIRST, &values, false).await?;
    }
    let layout = meta(connection).await?.layout;
    if layout == 0 || layout > schema::newest() {
        return Err(Refused::Open(OpenError::Layout(layout)));
    }
    for next in schema::after(layout, schema::Dialect::Postgres) {
        connection.batch(&next).await?;
    }
    connection
        .query(LAYOUT, &[schema::newest().into()], false)
        .await?;
    let Meta {
        database, standing, ..
    } = meta(connection).await?;
    let held = marks.held();
    let newest = held.as_ref().map_or(0, |held| held.generation);
    let allows =
        |held: Held, found: &[(u64, u64)]| held.allows(&database, standing.generation, found);
    let server = held.as_ref().map_or(fresh.1, |held| held.server);
    let found = slots(connection, &server).await?;
    // A database that came from elsewhere passes the same checks as one that we wrote (V6), and every
    // record in it stands as if strangers had used up their guesses.
    // Its generation is one that no copy has.
    if is_there && !held.is_some_and(|held| allows(held, &found)) {
        match connection.batch(&checks()).await {
            Ok(()) => (),
            Err(Fault::Refused(error)) => {
                return Err(Refused::Open(OpenError::Damaged(error.to_string())));
            }
            Err(fault) => return Err(fault.into()),
        }
        connection.query(RESTORED, &[newest.into()], false).await?;
    }
    let Meta { standing, .. } = meta(connection).await?;
    let holds_records = !connection.query(RECORDS, &[], false).await?.is_empty();
    let mut newest = vec![0; connections.min(SLOTS)];
    for (slot, sequence) in found {
        let Ok(slot) = usize::try_from(slot) else {
            continue;
        };
        // Of a server that once had more connections, too.
        if slot < SLOTS && slot >= newest.len() {
            newest.resize(slot + 1, 0);
        }
        if let Some(place) = newest.get_mut(slot) {
            *place = sequence;
        }
    }
    let held = Held {
        database,
        server,
        generation: standing.generation,
        slots: newest,
    };
    let stood = Stood {
        standing,
        server,
        holds_records,
    };
    Ok((stood, held))
}

/// Every check of every table, on every row; and that none of them is missing.
fn checks() -> String {
    let expected: usize = schema::after(0, schema::Dialect::Postgres)
        .map(|layout| layout.matches("CHECK (").count())
        .sum();
    CHECKS.replace("EXPECTED", &expected.to_string())
}

const CHECKS: &str = "DO $$
DECLARE
  rule record;
  rules bigint := 0;
  is_broken boolean;
BEGIN
  FOR rule IN
    SELECT conrelid::regclass AS place, conname, pg_get_expr(conbin, conrelid) AS condition
    FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    WHERE contype = 'c' AND convalidated AND relname LIKE 'vault\\_%'
      AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('vault_meta'))
  LOOP
    rules := rules + 1;
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %s WHERE NOT (%s))', rule.place, rule.condition)
      INTO is_broken;
    IF is_broken THEN
      RAISE check_violation USING CONSTRAINT = rule.conname;
    END IF;
  END LOOP;
  IF rules <> EXPECTED THEN
    RAISE check_violation USING CONSTRAINT = 'checks are missing';
  END IF;
END $$";
