//! One connection: statements with a deadline, and what is known of a commit.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{AsyncMessage, Client, Statement};

use super::address::{Isolation, Postgres};
use super::rounds::Question;
use super::tls::{self, Tls};
use crate::db::{DbError, Row, Sql, Value};

/// The session's own settings. Warnings are asked for: one of them says that a commit is on no other machine.
/// Tables are never read whole: under `serializable` that would make all of a small table collide.
const SETTINGS: &str = "SET client_min_messages = warning; SET synchronous_commit = on; \
     SET enable_seqscan = off; SET idle_in_transaction_session_timeout = '5s'; \
     SET bytea_output = hex; SET TIME ZONE 'UTC'";
/// What makes a commit durable, and is not the session's to set.
const DURABLE: &str = "SELECT current_setting('fsync') || current_setting('full_page_writes')";

/// Commits something that nobody reads: done when the copies have it.
const OFFICE: &str = "SELECT pg_logical_emit_message(true, 'heirloom', '')";

/// Why something was not done on a connection.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server refused it; the connection is good.
    Refused(DbError),
    /// It was undone for another transaction's sake: it may run again.
    Collided,
    /// The server cancelled it for its time-out: it waits for a row that somebody holds, which may be a commit that no
    /// copy confirms, on a host that was deposed. The connection is not kept.
    Cancelled(DbError),
    /// The connection is gone or useless, or took too long.
    Lost(DbError),
}

impl Fault {
    fn of(error: &tokio_postgres::Error) -> Self {
        let Some(database) = error.as_db_error() else {
            return Self::Lost(DbError::Engine("the connection was lost".to_owned()));
        };
        let code = database.code();
        // Details hold values; the code and the constraint's name do not.
        let text = match database.constraint() {
            Some(constraint) => format!("SQLSTATE {}, {constraint}", code.code()),
            None => format!("SQLSTATE {}", code.code()),
        };
        let error = DbError::Engine(text);
        if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED
        {
            return Self::Collided;
        }
        match code.code().get(..2) {
            // Integrity, data, syntax.
            Some("23" | "22" | "42") => Self::Refused(error),
            _ if *code == SqlState::QUERY_CANCELED => Self::Cancelled(error),
            _ => Self::Lost(error),
        }
    }

    fn late() -> Self {
        Self::Lost(DbError::Engine("the database took too long".to_owned()))
    }

    pub(crate) fn into_error(self) -> DbError {
        match self {
            Self::Refused(error) | Self::Cancelled(error) | Self::Lost(error) => error,
            Self::Collided => DbError::Engine("it collided with other operations".to_owned()),
        }
    }
}

/// Waits no longer than the deadline: a server that hangs must not keep whoever asks.
async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Fault> {
    match timeout(deadline, work).await {
        Ok(done) => done.map_err(|error| Fault::of(&error)),
        Err(_) => Err(Fault::late()),
    }
}

/// What became of a commit.
#[derive(Debug)]
pub(crate) enum Committed {
    /// On the disk of every machine that must have it; with this connection's count, where something was written.
    Yes(Option<u64>),
    /// Certainly not.
    No(Fault),
    /// Who knows.
    Unknown,
}

/// Who counts this connection's commits, and under which name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) server: [u8; 16],
    pub(crate) number: usize,
}

/// Ends with the connection: a server that hangs would keep it for ever.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An open connection.
pub(crate) struct Connection {
    client: Client,
    /// Whether the server warned of something since it was last looked at.
    warned: Arc<AtomicBool>,
    _driver: Driver,
    prepared: HashMap<&'static str, Statement>,
    pub(crate) deadline: Duration,
    is_useless: bool,
}

impl Connection {
    /// Connects to whichever host takes writes, within one deadline for each.
    pub(crate) async fn open(postgres: &Postgres, tls: &Tls) -> Result<Self, Fault> {
        let mut fault = Fault::Lost(DbError::Engine("no host is named".to_owned()));
        for config in postgres.address.each() {
            let opened = timeout(postgres.deadline, Self::to(&config, postgres, tls)).await;
            match opened {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(other)) => fault = other,
                Err(_) => fault = Fault::late(),
            }
        }
        Err(fault)
    }

    async fn to(
        config: &tokio_postgres::Config,
        postgres: &Postgres,
        tls: &Tls,
    ) -> Result<Self, Fault> {
        let opened = config.connect(tls.clone()).await;
        let (client, connection) = opened.map_err(|error| match tls::why(&error) {
            Some(why) => Fault::Lost(DbError::Unreached(why)),
            None => Fault::of(&error),
        })?;
        let warned = Arc::new(AtomicBool::new(false));
        let driver = tokio::spawn(drive(connection, Arc::clone(&warned))).abort_handle();
        let driver = Driver(driver);
        // The server gives up a little earlier than we do: then the connection is kept.
        let milliseconds = postgres.deadline.as_millis() * 9 / 10;
        let isolation = match postgres.isolation {
            Isolation::ReadCommitted => "read committed",
            Isolation::Serializable => "serializable",
        };
        let settings = format!(
            "{SETTINGS}; SET statement_timeout = {milliseconds}; \
             SET default_transaction_isolation = '{isolation}'"
        );
        let set = client.batch_execute(&settings).await;
        set.map_err(|error| Fault::of(&error))?;
        let row = client.query_one(DURABLE, &[]).await;
        let durable: String = row
            .and_then(|row| row.try_get(0))
            .map_err(|error| Fault::of(&error))?;
        if durable != "onon" {
            let text = "fsync or full_page_writes is off: it would lose guesses";
            return Err(Fault::Refused(DbError::Engine(text.to_owned())));
        }
        // A primary that was deposed and does not know takes connections, and answers what only reads. No copy confirms
        // what it commits: then the next host is tried, and not its rows of the past taken for a restore.
        warned.store(false, Ordering::SeqCst);
        let committed = client.batch_execute(OFFICE).await;
        committed.map_err(|error| Fault::of(&error))?;
        if warned.load(Ordering::SeqCst) {
            let text = "no copy confirms what this host commits";
            return Err(Fault::Lost(DbError::Engine(text.to_owned())));
        }
        Ok(Self {
            client,
            warned,
            _driver: driver,
            prepared: HashMap::new(),
            deadline: postgres.deadline,
            is_useless: false,
        })
    }

    /// Whether nothing more can be done on it.
    pub(crate) fn is_useless(&self) -> bool {
        self.is_useless || self.client.is_closed()
    }

    fn judge<T>(&mut self, done: &Result<T, Fault>) {
        self.is_useless |= matches!(done, Err(Fault::Cancelled(_) | Fault::Lost(_)));
    }

    /// Statements without parameters, for set-up.
    pub(crate) async fn batch(&mut self, text: &str) -> Result<(), Fault> {
        let done = within(self.deadline, self.client.batch_execute(text)).await;
        self.judge(&done);
        done
    }

    async fn prepare(&mut self, text: &'static str) -> Result<Statement, Fault> {
        if let Some(statement) = self.prepared.get(text) {
            return Ok(statement.clone());
        }
        let statement = within(self.deadline, self.client.prepare(text)).await;
        self.judge(&statement);
        let statement = statement?;
        self.prepared.insert(text, statement.clone());
        Ok(statement)
    }

    /// One statement; the transaction begins with the first.
    pub(crate) async fn query(
        &mut self,
        text: &'static str,
        values: &[Value],
        begins: bool,
    ) -> Result<Vec<Row>, Fault> {
        self.query_after(&[], (text, values), begins).await
    }

    /// The same, after what was told before.
    pub(crate) async fn query_after(
        &mut self,
        told: &[Told],
        (text, values): (&'static str, &[Value]),
        begins: bool,
    ) -> Result<Vec<Row>, Fault> {
        let statement = self.prepare(text).await?;
        let told = self.prepare_told(told).await?;
        let parameters = parameters(values);
        let client = &self.client;
        // Sent together: one way there and back. What is polled first is sent first.
        let all = async {
            let (begun, said, rows) = tokio::join!(
                opening(client, begins),
                say(client, &told),
                client.query(&statement, &parameters)
            );
            begun?;
            said?;
            rows
        };
        let done = within(self.deadline, all).await;
        self.judge(&done);
        done?.iter().map(row).collect()
    }

    /// Several at a time, each after what was told before it, in one way there and back.
    pub(crate) async fn query_all(
        &mut self,
        told: &[Told],
        questions: &[Question],
        begins: bool,
    ) -> Result<Vec<Vec<Row>>, Fault> {
        let told = self.prepare_told(told).await?;
        let mut prepared = Vec::with_capacity(questions.len());
        for Question { told, text, values } in questions {
            let told = self.prepare_told(told).await?;
            prepared.push((told, self.prepare(text).await?, parameters(values)));
        }
        let client = &self.client;
        let all = async {
            let asked = prepared.iter().map(|(told, statement, values)| async move {
                let (said, rows) = tokio::join!(say(client, told), client.query(statement, values));
                said?;
                rows
            });
            let asked = futures_util::future::join_all(asked);
            let (begun, said, asked) =
                tokio::join!(opening(client, begins), say(client, &told), asked);
            begun?;
            said?;
            first_refused(asked)
        };
        let done = within(self.deadline, all).await;
        self.judge(&done);
        let answers = done?;
        let rows = |answer: &Vec<tokio_postgres::Row>| answer.iter().map(row).collect();
        answers.iter().map(rows).collect()
    }

    async fn prepare_told<'a>(
        &mut self,
        told: &'a [Told],
    ) -> Result<Vec<(Statement, &'a [Value])>, Fault> {
        let mut prepared = Vec::with_capacity(told.len());
        for (text, values) in told {
            prepared.push((self.prepare(text).await?, values.as_slice()));
        }
        Ok(prepared)
    }

    /// Ends a transaction without effect.
    pub(crate) async fn roll_back(&mut self) {
        if !self.is_useless() && self.batch("ROLLBACK").await.is_err() {
            self.is_useless = true;
        }
    }

    /// Commits what was told before, with this connection's count raised in the same transaction when it wrote
    /// something.
    pub(crate) async fn commit(&mut self, told: &[Told], slot: Option<Slot>) -> Committed {
        let told = match self.prepare_told(told).await {
            Ok(told) => told,
            Err(fault) => return Committed::No(fault),
        };
        let mark = match slot {
            None => None,
            Some(slot) => match self.prepare(MARK).await {
                Ok(statement) => Some((statement, slot)),
                Err(fault) => return Committed::No(fault),
            },
        };
        self.warned.store(false, Ordering::SeqCst);
        let client = &self.client;
        let sent = async {
            let mark = async {
                let Some((statement, Slot { server, number })) = mark else {
                    return Ok(None);
                };
                let number = i64::try_from(number).unwrap_or(i64::MAX);
                let values: [&(dyn ToSql + Sync); 2] = [&&server[..], &number];
                let row = client.query_one(&statement, &values).await?;
                row.try_get::<_, i64>(0).map(Some)
            };
            let (said, marked, committed) =
                tokio::join!(say(client, &told), mark, client.batch_execute("COMMIT"));
            // What went wrong first is why the rest did.
            (said.and(marked), committed)
        };
        let done = timeout(self.deadline, sent).await;
        let Ok((marked, committed)) = done else {
            self.is_useless = true;
            return Committed::Unknown;
        };
        let marked = match marked {
            Ok(marked) => marked,
            // The server refused the count: the transaction is undone, whatever `COMMIT` said.
            Err(error) if error.as_db_error().is_some() => {
                let fault = Fault::of(&error);
                self.is_useless |= committed.is_err() || !matches!(fault, Fault::Collided);
                return Committed::No(fault);
            }
            Err(_) => {
                self.is_useless = true;
                return Committed::Unknown;
            }
        };
        match committed {
            // "canceling wait for synchronous replication" comes with success (V3).
            Ok(()) if self.warned.load(Ordering::SeqCst) => Committed::Unknown,
            Ok(()) => Committed::Yes(marked.map(|number| u64::try_from(number).unwrap_or(0))),
            Err(error) => match error
                .as_db_error()
                .map(tokio_postgres::error::DbError::code)
            {
                Some(code)
                    if *code == SqlState::T_R_SERIALIZATION_FAILURE
                        || *code == SqlState::T_R_DEADLOCK_DETECTED
                        || code.code().starts_with("23") =>
                {
                    Committed::No(Fault::of(&error))
                }
                // 40003, 08xxx, an administrator's end, and whatever is not known here.
                _ => {
                    self.is_useless = true;
                    Committed::Unknown
                }
            },
        }
    }
}

/// All of them, or why: of a transaction that failed every later statement is refused too, which is not why.
fn first_refused<T>(
    answers: Vec<Result<T, tokio_postgres::Error>>,
) -> Result<Vec<T>, tokio_postgres::Error> {
    let follows =
        |error: &tokio_postgres::Error| error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
    let mut good = Vec::with_capacity(answers.len());
    let mut why: Option<tokio_postgres::Error> = None;
    for answer in answers {
        match answer {
            Ok(answer) => good.push(answer),
            Err(error) if why.as_ref().is_none_or(follows) => why = Some(error),
            Err(_) => (),
        }
    }
    why.map_or(Ok(good), Err)
}

/// A statement whose rows nobody needs, until it is sent.
pub(crate) type Told = (&'static str, Vec<Value>);

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    let values = values.iter();
    values
        .map(|value| -> &(dyn ToSql + Sync) { value })
        .collect()
}

async fn opening(client: &Client, begins: bool) -> Result<(), tokio_postgres::Error> {
    if begins {
        client.batch_execute("BEGIN").await
    } else {
        Ok(())
    }
}

/// Sends statements one behind the other without a wait between them; the first that went wrong is told.
async fn say(client: &Client, told: &[(Statement, &[Value])]) -> Result<(), tokio_postgres::Error> {
    let sent = told.iter().map(|(statement, values)| async move {
        client.execute(statement, &parameters(values)).await
    });
    let said = futures_util::future::join_all(sent).await;
    said.into_iter().try_for_each(|done| done.map(drop))
}

const MARK: &str = "INSERT INTO vault_mark (server, slot, sequence) VALUES ($1, $2, 1) \
     ON CONFLICT (server, slot) DO UPDATE SET sequence = vault_mark.sequence + 1 RETURNING sequence";

/// Reads what the server sends until the connection ends.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, warned: Arc<AtomicBool>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            // It comes before the answer that it belongs to.
            Ok(AsyncMessage::Notice(_)) => warned.store(true, Ordering::SeqCst),
            Ok(_) => (),
            Err(_) => return,
        }
    }
}

fn row(row: &tokio_postgres::Row) -> Result<Row, Fault> {
    let value = |index: usize, kind: &Type| {
        let value = if *kind == Type::INT8 {
            row.try_get(index)
                .map(|number: Option<i64>| number.map(Value::Int))
        } else if *kind == Type::INT4 {
            row.try_get(index)
                .map(|number: Option<i32>| number.map(|number| Value::Int(number.into())))
        } else if *kind == Type::BYTEA {
            row.try_get(index)
                .map(|bytes: Option<&[u8]>| bytes.map(Value::from))
        } else {
            return Err(Fault::Refused(DbError::Impossible));
        };
        let value = value.map_err(|_| Fault::Refused(DbError::Impossible))?;
        Ok(value.unwrap_or(Value::Null))
    };
    let columns = row.columns().iter().enumerate();
    let values: Result<Vec<_>, Fault> = columns
        .map(|(index, column)| value(index, column.type_()))
        .collect();
    Ok(Row::new(values?))
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *kind == Type::INT8 => number.to_sql(kind, out),
            Self::Int(number) if *kind == Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
            Self::Bytes(bytes) if *kind == Type::BYTEA => bytes.to_sql(kind, out),
            Self::Int(_) | Self::Bytes(_) => Err("a value of another kind".into()),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::BYTEA].contains(kind)
    }

    to_sql_checked!();
}

/// A transaction on a connection, as operations see it.
pub(crate) struct Transaction<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) connection: &'a mut Connection,
    pub(crate) is_begun: bool,
    pub(crate) wrote: bool,
    /// Why it must not be committed, whatever the operation made of it.
    pub(crate) fault: Option<Fault>,
    /// What waits for the next statement.
    pub(crate) told: Vec<Told>,
}

impl Transaction<'_> {
    /// Whether the next statement begins it, with what waits to go before.
    fn begin(&mut self) -> Result<(bool, Vec<Told>), DbError> {
        if self.fault.is_some() {
            return Err(DbError::Engine("the transaction failed before".to_owned()));
        }
        let begins = !self.is_begun;
        self.is_begun = true;
        Ok((begins, std::mem::take(&mut self.told)))
    }

    fn failed(&mut self, fault: Fault) -> DbError {
        let error = match &fault {
            Fault::Refused(error) | Fault::Cancelled(error) => error.clone(),
            Fault::Collided | Fault::Lost(_) => DbError::Engine("interrupted".to_owned()),
        };
        self.fault = Some(fault);
        error
    }

    /// Several statements of different operations, together.
    pub(crate) fn ask_all(&mut self, questions: &[Question]) -> Result<Vec<Vec<Row>>, DbError> {
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let (begins, told) = self.begin()?;
        for Question { told, text, .. } in questions {
            self.wrote |= writes(text) || !told.is_empty();
        }
        let done = self.connection.query_all(&told, questions, begins);
        let done = self.runtime.block_on(done);
        done.map_err(|fault| self.failed(fault))
    }
}

fn writes(text: &str) -> bool {
    !text.starts_with("SELECT")
}

impl Sql for Transaction<'_> {
    fn query(&mut self, text: &'static str, values: &[Value]) -> Result<Vec<Row>, DbError> {
        let (begins, told) = self.begin()?;
        self.wrote |= writes(text);
        let done = self.connection.query_after(&told, (text, values), begins);
        let done = self.runtime.block_on(done);
        done.map_err(|fault| self.failed(fault))
    }

    fn tell(&mut self, text: &'static str, values: Vec<Value>) -> Result<(), DbError> {
        if !self.is_begun {
            return self.query(text, &values).map(drop);
        }
        self.wrote = true;
        self.told.push((text, values));
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), DbError> {
        self.query(BARRIER, &[]).map(drop)
    }
}

// A record in the write-ahead log that nobody reads: its commit waits for the copies. Cast, for its type has no
// number of ours.
pub(super) const BARRIER: &str =
    "SELECT length(pg_logical_emit_message(true, 'heirloom', ''::text)::text)";
