//! A store that fails on purpose: it stops after so many writes, as a pulled plug does. For tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Listed, Put, Store, StoreError};

/// Lets a number of calls through, then fails every one; counts reads and bytes.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    writes_left: AtomicU64,
    reads: AtomicU64,
    bytes_read: AtomicU64,
    writes: AtomicU64,
    loses_an_answer: AtomicBool,
}

impl FaultyStore {
    /// Fails from the `writes`-th write or delete on.
    pub fn stopping_after(inner: Arc<dyn Store>, writes: u64) -> Self {
        Self {
            inner,
            writes_left: AtomicU64::new(writes),
            reads: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            loses_an_answer: AtomicBool::new(false),
        }
    }

    /// The same, but the first write that fails is done, and nobody hears of it: what a run sees that is killed right after.
    pub fn going_silent_after(inner: Arc<dyn Store>, writes: u64) -> Self {
        let store = Self::stopping_after(inner, writes);
        store.loses_an_answer.store(true, Ordering::Relaxed);
        store
    }

    /// Only counts.
    pub fn counting(inner: Arc<dyn Store>) -> Self {
        Self::stopping_after(inner, u64::MAX)
    }

    /// Reads (gets, ranges, lists, stats) so far.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Writes and deletes that went through.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    fn write(&self, name: &str) -> Result<(), StoreError> {
        self.writes_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .map_err(|_| StoreError::Failed {
                name: name.to_owned(),
                why: "the plug was pulled".into(),
                temporary: true,
            })?;
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn read<T>(
        &self,
        bytes: impl Fn(&T) -> usize,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if let Ok(value) = &result {
            self.bytes_read.fetch_add(
                bytes(value).try_into().unwrap_or(u64::MAX),
                Ordering::Relaxed,
            );
        }
        result
    }
}

impl Store for FaultyStore {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        if let Err(plug) = self.write(name) {
            if self.loses_an_answer.swap(false, Ordering::Relaxed) {
                self.inner.put_new(name, bytes)?;
            }
            return Err(plug);
        }
        self.inner.put_new(name, bytes)
    }

    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.read(Vec::len, self.inner.get(name, limit))
    }

    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.read(Vec::len, self.inner.get_range(name, offset, len))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.read(|_| 0, self.inner.list(prefix))
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.write(name)?;
        self.inner.delete(name)
    }

    fn stat(&self, name: &str) -> Result<u64, StoreError> {
        self.read(|_| 0, self.inner.stat(name))
    }
}
