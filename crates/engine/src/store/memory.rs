//! A store in memory: for tests, and for what never leaves a browser's tab.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Listed, Put, Store, StoreError, is_valid_name};

/// Objects in a map.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryStore {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Overwrites or makes an object, as a hostile store could.
    pub fn tamper(&self, name: &str, bytes: Vec<u8>) {
        self.lock().insert(name.to_owned(), bytes);
    }

    /// A copy of everything.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().clone()
    }

    /// A store that holds these objects.
    pub fn from_objects(objects: BTreeMap<String, Vec<u8>>) -> Self {
        Self {
            objects: Mutex::new(objects),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        // A poisoned map is still a map: no operation leaves it half changed.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_found(name: &str) -> StoreError {
    StoreError::NotFound {
        name: name.to_owned(),
    }
}

impl Store for MemoryStore {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        if !is_valid_name(name) {
            return Err(StoreError::Denied {
                what: name.to_owned(),
            });
        }
        match self.lock().entry(name.to_owned()) {
            std::collections::btree_map::Entry::Occupied(_) => Ok(Put::AlreadyThere),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(bytes.to_vec());
                Ok(Put::Created)
            }
        }
    }

    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        let objects = self.lock();
        let bytes = objects.get(name).ok_or_else(|| not_found(name))?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > limit) {
            return Err(StoreError::TooLarge {
                name: name.to_owned(),
            });
        }
        Ok(bytes.clone())
    }

    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        let objects = self.lock();
        let bytes = objects.get(name).ok_or_else(|| not_found(name))?;
        let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes[clamp(offset)..clamp(offset.saturating_add(len))].to_vec())
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        Ok(self
            .lock()
            .range(prefix.to_owned()..)
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, bytes)| Listed {
                name: name.clone(),
                bytes: bytes.len().try_into().unwrap_or(u64::MAX),
            })
            .collect())
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.lock().remove(name);
        Ok(())
    }

    fn stat(&self, name: &str) -> Result<u64, StoreError> {
        self.lock()
            .get(name)
            .map(|bytes| bytes.len().try_into().unwrap_or(u64::MAX))
            .ok_or_else(|| not_found(name))
    }
}

#[cfg(test)]
mod tests {
    super::super::contract::store_contract!(super::MemoryStore::new());
}
