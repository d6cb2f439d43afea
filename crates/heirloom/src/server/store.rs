//! An account's objects as a store like any other.

use heirloom_engine::store::{Listed, Put, Store, StoreError};
use heirloom_vault_api::{BlobList, BlobName, Code};
use ureq::Body;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use ureq::http::{Method, Response, StatusCode};

use super::client::{Extra, bytes};
use super::{Address, CallError, Client};

mod upload;

/// From this length on an upload goes on where it was cut.
const LARGE: usize = 1 << 20;
/// More objects than any backup has; a server that lists on and on is found out.
const MAX_OBJECTS: usize = 20_000_000;

/// The objects of one account that lie under one prefix.
#[derive(Debug)]
pub(crate) struct RemoteStore {
    client: Client,
    prefix: String,
}

impl RemoteStore {
    /// Uses what `client` is signed in to.
    pub(crate) fn new(client: Client, address: &Address) -> Self {
        Self {
            client,
            prefix: address.prefix.clone(),
        }
    }

    fn path(&self, name: &str) -> Result<String, StoreError> {
        let whole = BlobName::try_from(format!("{}{name}", self.prefix));
        let whole = whole.map_err(|_| StoreError::NotFound { name: name.into() })?;
        Ok(format!("/v1/blobs/{}", whole.as_str()))
    }

    fn error(&self, name: &str) -> impl Fn(CallError) -> StoreError {
        move |error| error.store_error(self.client.origin(), name)
    }

    /// The bytes from `offset` on, at most `len`; the answer's own words about its length are not trusted.
    fn range(&self, path: &str, offset: u64, len: u64) -> Result<Vec<u8>, CallError> {
        let Some(last) = len.checked_sub(1) else {
            self.client.once(&Method::HEAD, path, Extra::default())?;
            return Ok(Vec::new());
        };
        let range = format!("bytes={offset}-{}", offset.saturating_add(last));
        let extra = Extra {
            header: Some(("range", &range)),
            body: None,
        };
        match self.client.once(&Method::GET, path, extra) {
            Ok(answer) if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE => Ok(Vec::new()),
            Ok(answer) if starts_at(&answer, offset) => bytes(answer, len),
            Ok(_) => Err(CallError::bad("it sent another part than was asked for")),
            Err(error) => Err(error),
        }
    }

    fn page(&self, prefix: &str, after: Option<&str>) -> Result<BlobList, CallError> {
        let mut path = format!("/v1/blobs?prefix={prefix}");
        if let Some(after) = after {
            path.push_str("&after=");
            path.push_str(after);
        }
        self.client.get(&path)
    }
}

/// Whether a part of an object begins where it was asked to.
fn starts_at(answer: &Response<Body>, offset: u64) -> bool {
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return offset == 0;
    }
    let stated = answer.headers().get(CONTENT_RANGE);
    let stated = stated.and_then(|value| value.to_str().ok());
    stated.is_some_and(|text| text.starts_with(&format!("bytes {offset}-")))
}

impl Store for RemoteStore {
    fn put_new(&self, name: &str, object: &[u8]) -> Result<Put, StoreError> {
        let path = self.path(name)?;
        if object.len() >= LARGE {
            return self.upload(&path, object).map_err(self.error(name));
        }
        let mut is_first = true;
        let put = self.client.patiently(|| {
            let again = !std::mem::take(&mut is_first);
            let extra = Extra {
                header: Some(("if-none-match", "*")),
                body: Some(("application/octet-stream", object)),
            };
            match self.client.once(&Method::PUT, &path, extra) {
                Ok(_) => Ok(Put::Created),
                Err(error) if error.code() == Some(Code::Conflict) => {
                    // What is there after a call without an answer may be what that call wrote.
                    let limit = u64::try_from(object.len()).unwrap_or(u64::MAX);
                    let is_mine = again && self.range(&path, 0, limit.saturating_add(1))? == object;
                    Ok(if is_mine {
                        Put::Created
                    } else {
                        Put::AlreadyThere
                    })
                }
                Err(error) => Err(error),
            }
        });
        put.map_err(self.error(name))
    }

    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name)?;
        let whole = self.client.patiently(|| {
            let answer = self.client.once(&Method::GET, &path, Extra::default())?;
            bytes(answer, limit.saturating_add(1))
        });
        let whole = whole.map_err(self.error(name))?;
        if u64::try_from(whole.len()).map_or(true, |len| len > limit) {
            return Err(StoreError::TooLarge { name: name.into() });
        }
        Ok(whole)
    }

    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name)?;
        self.client
            .patiently(|| self.range(&path, offset, len))
            .map_err(self.error(name))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let whole = format!("{}{prefix}", self.prefix);
        let bad = |why: &str| CallError::bad(why).store_error(self.client.origin(), prefix);
        let mut listed: Vec<Listed> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let BlobList { blobs, more } = self
                .page(&whole, after.as_deref())
                .map_err(self.error(prefix))?;
            if more && (blobs.is_empty() || listed.len() > MAX_OBJECTS) {
                return Err(bad("its list has no end"));
            }
            for blob in blobs {
                let is_next = after
                    .as_deref()
                    .is_none_or(|last| blob.name.as_str() > last);
                let name = blob.name.as_str().strip_prefix(&self.prefix);
                let (true, Some(name), true) =
                    (is_next, name, blob.name.as_str().starts_with(&whole))
                else {
                    return Err(bad("its list is out of order"));
                };
                listed.push(Listed {
                    name: name.to_owned(),
                    bytes: blob.size,
                });
                after = Some(blob.name.as_str().to_owned());
            }
            if !more {
                return Ok(listed);
            }
        }
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        let deleted = self.client.patiently(|| {
            self.client
                .once(&Method::DELETE, &path, Extra::default())
                .map(drop)
        });
        match deleted {
            Err(error) if error.code() == Some(Code::NotFound) => Ok(()),
            deleted => deleted.map_err(self.error(name)),
        }
    }

    fn stat(&self, name: &str) -> Result<u64, StoreError> {
        let path = self.path(name)?;
        self.client
            .patiently(|| {
                let answer = self.client.once(&Method::HEAD, &path, Extra::default())?;
                let stated = answer.headers().get(CONTENT_LENGTH);
                stated
                    .and_then(|value| value.to_str().ok())
                    .and_then(|value| value.parse().ok())
                    .ok_or_else(|| CallError::bad("it did not say how large an object is"))
            })
            .map_err(self.error(name))
    }
}

#[cfg(test)]
mod tests;
