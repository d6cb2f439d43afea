//! WhatsApp's *Export chat*: real exports, written examples, and random texts.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of tests fail as tests do"
)]

mod common;
mod examples;
mod fuzz_corpus;
mod shared;
