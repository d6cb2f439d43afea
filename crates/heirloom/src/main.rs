//! `heirloom`: end-to-end encrypted chat backups with several proven ways in.

mod args;
mod atomic;
mod context;
mod exit;
mod failure;
mod home;
mod interrupt;
mod kit;
mod output;
mod secrets;
mod settings;
mod words;

fn main() {}
