//! One storage trait, one SQL text: operations are written against [`Sql`], drivers commit them.
//!
//! An operation is a short transaction on the rows of one account. Whoever submitted it learns one of
//! three outcomes, and acts only on [`Durable`](StoreError) ones: what the disk does not have yet must
//! not leave the process.

pub(crate) mod postgres;
mod queue;
pub(crate) mod schema;
pub(crate) mod sqlite;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// A value in a column. Nothing else is stored, so that every driver has all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Bytes(Vec<u8>),
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<heirloom_vault_api::Fixed<N>> for Value {
    fn from(bytes: heirloom_vault_api::Fixed<N>) -> Self {
        Self::Bytes(bytes.0.to_vec())
    }
}

impl From<u64> for Value {
    /// Numbers beyond `i64` cannot come from outside: the wire's are checked, the rest are times and counts.
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row, read once, from the left.
#[derive(Clone, Debug)]
pub(crate) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    fn next(&mut self) -> Result<Value, DbError> {
        self.0.next().ok_or(DbError::Impossible)
    }

    /// A number that is not negative.
    pub(crate) fn u64(&mut self) -> Result<u64, DbError> {
        match self.next()? {
            Value::Int(number) => u64::try_from(number).map_err(|_| DbError::Impossible),
            Value::Null | Value::Bytes(_) => Err(DbError::Impossible),
        }
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DbError> {
        u32::try_from(self.u64()?).map_err(|_| DbError::Impossible)
    }

    pub(crate) fn bytes(&mut self) -> Result<Option<Vec<u8>>, DbError> {
        match self.next()? {
            Value::Bytes(bytes) => Ok(Some(bytes)),
            Value::Null => Ok(None),
            Value::Int(_) => Err(DbError::Impossible),
        }
    }

    pub(crate) fn fixed<const N: usize>(
        &mut self,
    ) -> Result<Option<heirloom_vault_api::Fixed<N>>, DbError> {
        let bytes = self.bytes()?;
        bytes
            .map(|bytes| heirloom_vault_api::Fixed::try_from(bytes.as_slice()))
            .transpose()
            .map_err(|_| DbError::Impossible)
    }
}

/// Why a statement did not run. Nothing of its operation happened.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// The engine refused it; its words hold no values.
    #[error("the database refused a statement: {0}")]
    Engine(String),
    /// No connection was made; the words say what to do.
    #[error("{0}")]
    Unreached(String),
    /// A row that the rules do not allow: a restored or altered database.
    #[error("the database holds what it must not hold")]
    Impossible,
}

/// Statements within one transaction. `$1` parameters, in the order of their first use.
///
/// Several transactions run at a time, each statement sees what others committed before it (read committed):
/// whoever reads a row to change it takes it with [`Record::hold`](crate::store::record::Record::hold) or
/// with one conditional statement.
pub(crate) trait Sql {
    fn query(&mut self, text: &'static str, values: &[Value]) -> Result<Vec<Row>, DbError>;

    /// A statement whose rows nobody needs. It may go with the next one, or with the commit: one way there and back
    /// less for a database elsewhere. Where it is refused the whole operation is, though this said `Ok`.
    fn tell(&mut self, text: &'static str, values: Vec<Value>) -> Result<(), DbError> {
        self.query(text, &values).map(drop)
    }

    /// Makes a transaction that only reads wait for the copies, as one that writes does (V10): a primary that
    /// was deposed cannot answer. Every operation that tells a counter or a head, and writes nothing, begins
    /// with it.
    fn barrier(&mut self) -> Result<(), DbError>;
}

/// What an operation did, as far as is known.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Committed, and on the disk.
    Durable,
    /// Rolled back.
    Nothing(DbError),
    /// The commit was sent, and its outcome is not known.
    Unknown,
}

/// What runs within a transaction. It runs again, from the start, when the engine undid it for another's sake, or to
/// find out what it asks next: of the same answers it asks the same, and has no effect of its own before it ends.
pub(crate) type Work = Box<dyn Fn(&mut dyn Sql) -> Result<(), DbError> + Send>;

/// An operation and who waits for it.
pub(crate) struct Job {
    pub(crate) work: Work,
    /// The shard of the one record whose row it takes; `None` where it may take others. Those that have one can share
    /// a transaction, whose rows are taken in the same order by everybody.
    pub(crate) shard: Option<u32>,
    pub(crate) done: oneshot::Sender<Outcome>,
}

/// Commits operations.
pub(crate) trait Database: Send + Sync + std::fmt::Debug {
    /// Takes a job; it runs even when nobody waits for it any more.
    fn submit(&self, job: Job);

    /// Removes what was overwritten from every file of the engine; says whether it did.
    fn scrub(&self) -> oneshot::Receiver<bool>;

    /// Told once where transactions are counted. What stands between an engine and its vault needs none.
    fn watch(&self, _metrics: &Arc<crate::metrics::Metrics>) {}
}

/// Why an operation has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Nothing happened.
    #[error(transparent)]
    Failed(#[from] DbError),
    /// It may have happened. Never tried again as if it had not.
    #[error("it is not known whether the change was stored")]
    Unknown,
}

/// Runs `work` and gives its result once it is known to be durable.
///
/// `work` may run more than once; of its runs one is committed at most.
pub(crate) async fn run<T: Send + 'static>(
    database: &dyn Database,
    work: impl Fn(&mut dyn Sql) -> Result<T, DbError> + Send + 'static,
) -> Result<T, StoreError> {
    run_in(database, None, work).await
}

/// The same for an operation that takes the row of one record, which is in `shard`, and no other that somebody else may
/// hold.
pub(crate) async fn run_in<T: Send + 'static>(
    database: &dyn Database,
    shard: Option<u32>,
    work: impl Fn(&mut dyn Sql) -> Result<T, DbError> + Send + 'static,
) -> Result<T, StoreError> {
    let result = Arc::new(Mutex::new(None));
    let place = Arc::clone(&result);
    let (done, waits) = oneshot::channel();
    database.submit(Job {
        work: Box::new(move |sql| {
            let value = work(sql)?;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        }),
        shard,
        done,
    });
    match waits.await {
        Ok(Outcome::Durable) => result
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .ok_or(StoreError::Unknown),
        Ok(Outcome::Nothing(error)) => Err(error.into()),
        Ok(Outcome::Unknown) | Err(_) => Err(StoreError::Unknown),
    }
}
