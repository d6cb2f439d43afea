//! Other programs' chat histories, read as [`heirloom_archive::Source`]s.
//!
//! `detect::open` (not in a browser) looks at a file or folder and gives the source that reads it. What is read here is
//! untrusted: no importer panics, allocates without a limit, or follows a name out of its source.

#[cfg(not(target_arch = "wasm32"))]
pub mod archive_form;
#[cfg(not(target_arch = "wasm32"))]
pub mod detect;
#[cfg(not(target_arch = "wasm32"))]
pub mod folder;
#[cfg(not(target_arch = "wasm32"))]
mod sqlite;
#[cfg(test)]
mod testing;
pub mod whatsapp;
pub mod zipped;
