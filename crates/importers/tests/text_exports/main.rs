//! WhatsApp's *Export chat*: real exports, written examples, and random texts.

mod common;
mod examples;
mod shared;
