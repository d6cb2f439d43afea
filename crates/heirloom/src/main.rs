//! `heirloom`: end-to-end encrypted chat backups with several proven ways in.

mod args;
mod atomic;
mod browser;
mod commands;
mod context;
mod device;
mod errors;
mod exit;
mod failure;
mod guard;
mod history;
mod home;
mod interrupt;
mod keys;
mod kit;
mod output;
mod password;
mod process;
mod recovery;
mod repository;
mod secrets;
mod server;
mod settings;
mod unlock;
mod words;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::context::Context;
use crate::exit::Exit;

fn main() -> ExitCode {
    process::harden();
    let args = match Args::try_parse_from(args::store_first::ordered(std::env::args_os())) {
        Ok(args) => args,
        Err(error) => return process::bad_arguments(&error),
    };
    let context = match Context::new(&args.global) {
        Ok(context) => context,
        Err((output, failure)) => {
            output.fail(&failure);
            return failure.exit.into();
        }
    };
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        commands::run(&args.command, &context)
    }));
    match ended {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(failure)) => {
            context.output.fail(&failure);
            failure.exit.into()
        }
        Err(_) => Exit::Failed.into(),
    }
}
