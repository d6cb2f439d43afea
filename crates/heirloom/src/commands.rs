//! One file for each command.

pub(crate) mod admin;
pub(crate) mod approve;
pub(crate) mod backup;
pub(crate) mod browse;
pub(crate) mod check;
pub(crate) mod devices;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod export;
pub(crate) mod invite;
pub(crate) mod kit;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod paper;
pub(crate) mod protect;
pub(crate) mod prune;
pub(crate) mod restore;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod snapshots;

use crate::args::Command;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// Does what was asked.
pub(crate) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Backup(args) => backup::run(args, context),
        Command::Restore(args) => restore::run(args, context),
        Command::Snapshots(args) => snapshots::run(args, context),
        Command::Browse(args) => browse::run(args, context),
        Command::Search(args) => search::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Drill(args) => drill::run(args, context),
        Command::Prune(args) => prune::run(args, context),
        Command::Protect(args) => protect::run(args, context),
        Command::Kit(args) => kit::run(args, context),
        Command::Login(args) => login::run(args, context),
        Command::Approve(args) => approve::run(args, context),
        Command::Logout(args) => logout::run(args, context),
        Command::Devices(args) => devices::run(args, context),
        Command::Invite(args) => invite::run(args, context),
        Command::Serve(args) => serve::run(args, context),
        Command::Admin(args) => admin::run(args, context),
        Command::Doctor(args) => Ok(doctor::run(args, context)),
        Command::StartOver(args) => backup::start_over(args, context),
        Command::Completions(args) => Ok(paper::completions(args, context)),
        Command::Man(args) => paper::man(args, context),
    }
}
