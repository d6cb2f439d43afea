//! Paged static HTML: opens in any browser, from a folder, without scripts and without the net.
//!
//! ```text
//! index.html                     the chats
//! style.css
//! <chat>/index.html              its days
//! <chat>/page-0001.html …        about a thousand messages each
//! <chat>/media/<name>
//! ```
//! Files that a browser would run (`.html`, `.svg`, …) get `.txt` behind their names.

mod chat;
mod export;
mod index;
mod markup;
mod message;
mod words;

pub use export::export;

#[cfg(test)]
mod tests;
