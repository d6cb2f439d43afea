//! Chat histories for people and other programs.
//!
//! [`jsonl`] is the open archive form that other programs read, and [`jsonl::read`] reads it back; [`html`] is for
//! reading in any browser; [`whatsapp`] is the text that WhatsApp itself exports. Each takes any
//! [`heirloom_archive::History`], runs in bounded memory, refuses a folder with something in it, and leaves nothing
//! that looks finished when it is interrupted.

pub mod html;
pub mod jsonl;
pub mod whatsapp;

mod filter;
mod media;
mod outcome;
mod people;
mod target;
mod times;

pub use filter::Filter;
pub use outcome::{ExportError, Outcome, Progress, ProgressFn};

#[cfg(test)]
mod testing;
