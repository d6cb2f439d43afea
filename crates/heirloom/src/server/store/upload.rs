//! Large objects: a cut costs what was on its way, not what arrived (docs/vault.md, 7.2).

use heirloom_engine::store::Put;
use heirloom_vault_api::{BlobName, Code, Fixed, UploadAt, UploadStart};
use sha2::{Digest as _, Sha256};
use ureq::http::{Method, StatusCode};

use super::RemoteStore;
use crate::server::CallError;
use crate::server::client::{Extra, LONGEST_PAUSE, json};

/// How often an upload is begun: it may be gone when it is gone on with.
const BEGINNINGS: u32 = 3;
/// How often bytes are sent without one of them arriving.
const IN_VAIN: u32 = 5;

/// What became of sending.
enum Sent {
    /// The object has its name.
    Named,
    /// The server knows nothing of this upload any more.
    Gone,
}

impl RemoteStore {
    /// Creates an object of which not every byte is sent again after a cut; `path` is that of its name.
    ///
    /// This side keeps nothing: the same object begun again is gone on with, also by the next run of the program.
    pub(super) fn upload(&self, path: &str, object: &[u8]) -> Result<Put, CallError> {
        let name = path.trim_start_matches("/v1/blobs/").to_owned();
        let size = u64::try_from(object.len()).unwrap_or(u64::MAX);
        let start = UploadStart {
            name: BlobName::try_from(name).map_err(|_| CallError::bad("not a name"))?,
            size,
            sha256: Fixed(Sha256::digest(object).into()),
        };
        for beginning in 0..BEGINNINGS {
            let at: UploadAt = match self.client.post_again("/v1/uploads", &start) {
                Ok(at) => at,
                Err(error) if error.code() == Some(Code::Conflict) => {
                    // What is there after bytes were sent may be what we sent.
                    let limit = size.saturating_add(1);
                    let is_mine = beginning > 0
                        && self.client.patiently(|| self.range(path, 0, limit))? == object;
                    return Ok(if is_mine {
                        Put::Created
                    } else {
                        Put::AlreadyThere
                    });
                }
                Err(error) => return Err(error),
            };
            match self.send(&at, object)? {
                Sent::Named => return Ok(Put::Created),
                Sent::Gone => (),
            }
        }
        Err(CallError::bad("it does not keep what is uploaded"))
    }

    /// Sends what is missing until all is there.
    fn send(&self, at: &UploadAt, object: &[u8]) -> Result<Sent, CallError> {
        let path = format!("/v1/uploads/{}", at.upload.to_text());
        let (mut offset, mut most, mut left) = (at.offset, at.offset, IN_VAIN);
        let mut pause = self.client.first_pause();
        loop {
            let sent = self.send_from(&path, offset, object);
            let error = match sent {
                Ok(()) => return Ok(Sent::Named),
                Err(error) => error,
            };
            match error.code() {
                // Not what was promised: a disk of theirs that failed, say. It is sent anew.
                Some(Code::NotFound | Code::NotWhole) => return Ok(Sent::Gone),
                Some(Code::Conflict) => (),
                _ if error.is_temporary() => (),
                _ => return Err(error),
            }
            let now: UploadAt = match self.client.get(&path) {
                Ok(now) => now,
                Err(error) if error.code() == Some(Code::NotFound) => return Ok(Sent::Gone),
                Err(error) => return Err(error),
            };
            offset = now.offset;
            if offset > most {
                (most, left) = (offset, IN_VAIN);
                pause = self.client.first_pause();
                continue;
            }
            left -= 1;
            if left == 0 {
                return Err(error);
            }
            std::thread::sleep(error.asked_pause().unwrap_or(pause).min(LONGEST_PAUSE));
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// Sends everything from `offset` on, and has it named.
    pub(super) fn send_from(
        &self,
        path: &str,
        offset: u64,
        object: &[u8],
    ) -> Result<(), CallError> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| object.get(offset..))
            .ok_or_else(|| CallError::bad("it says that more arrived than was sent"))?;
        let answer = if rest.is_empty() {
            // Everything was there, and the answer that says so was lost.
            let path = format!("{path}/finish");
            self.client.once(&Method::POST, &path, Extra::default())?
        } else {
            let extra = Extra {
                header: Some(("upload-offset", &offset.to_string())),
                body: Some(("application/octet-stream", rest)),
            };
            self.client.once(&Method::PATCH, path, extra)?
        };
        if answer.status() == StatusCode::CREATED {
            return Ok(());
        }
        let UploadAt { .. } = json(answer)?;
        Err(CallError::bad("it does not say that all is there"))
    }
}
