//! The byte layouts of a repository. What stands here stands in `docs/format.md`, and nowhere else.

pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod names;
pub(crate) mod object;
pub(crate) mod pack;
pub(crate) mod padding;

/// The version in every object.
pub(crate) const VERSION: u8 = 1;

/// The exact size of a full pack.
pub(crate) const PACK_BYTES: usize = 8 * 1024 * 1024;

/// The largest plaintext of one chunk.
pub(crate) const MAX_CHUNK_BYTES: usize = 24 * 1024 * 1024;

/// The size of an attachment's pieces.
pub(crate) const PIECE_BYTES: usize = 1024 * 1024;

/// The largest sealed object that is not a pack.
pub(crate) const MAX_OBJECT_BYTES: u64 = 256 * 1024 * 1024;

/// Reads from a store begin and end at multiples of this.
pub(crate) const BLOCK_BYTES: u64 = 64 * 1024;
