//! WhatsApp's encrypted databases: `msgstore.db.crypt12`, `.crypt14` and `.crypt15`.
//!
//! Such a file is a header that names the key and the IV, AES-256-GCM over a zlib stream, the tag, and mostly
//! an MD5 of all that. [`decrypt`] reads it twice: the first pass checks, the second one writes, so that no
//! unauthenticated byte is ever given out and no file is too large for memory.
//!
//! Not for writing such files, nor for media (`.mcrypt1`) whose keys lie elsewhere.

mod check;
mod gcm;
mod header;
mod key;

pub use check::{Plaintext, decrypt, verify};
pub use header::{Header, KeyId, Version};
pub use key::WaKey;

#[cfg(not(target_arch = "wasm32"))]
mod file;
#[cfg(not(target_arch = "wasm32"))]
pub use file::DecryptedFile;
