//! What holds for the whole process: no core dumps, panics without personal data, arguments that cannot be read.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::args::Color;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Takes away what could carry secrets or chats out of the process.
pub(crate) fn harden() {
    #[cfg(unix)]
    let _ = rlimit::setrlimit(rlimit::Resource::CORE, 0, 0);
    std::panic::set_hook(Box::new(|info| {
        // The message of a panic may quote data; its place cannot.
        let place = info
            .location()
            .map(|at| format!("{}:{}", at.file(), at.line()))
            .unwrap_or_default();
        let failure = Failure::new(Exit::Failed, format!("Heirloom stopped at a fault of its own ({place})"))
            .hint("nothing that was stored is lost, and it is safe to run this again; please report the place named above");
        Output::new(false, false, 0, Color::Auto).fail(&failure);
    }));
}

/// Whether core dumps are off, for `doctor`.
pub(crate) fn core_dumps_are_off() -> bool {
    #[cfg(unix)]
    return matches!(rlimit::getrlimit(rlimit::Resource::CORE), Ok((0, _)));
    #[cfg(not(unix))]
    return true;
}

/// Says what is wrong with the command line, as JSON where JSON was asked for.
pub(crate) fn bad_arguments(error: &clap::Error) -> ExitCode {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let wants_json = std::env::args_os().any(|arg| arg == "--json");
    if is_help || !wants_json {
        let _ = error.print();
    } else {
        let text = error.to_string();
        let failure =
            Failure::usage(first_paragraph(&text)).hint("`heirloom help` says what there is");
        Output::new(true, false, 0, Color::Never).fail(&failure);
    }
    if is_help {
        Exit::Done.into()
    } else {
        Exit::Usage.into()
    }
}

/// What is wrong, with the arguments that it names: they stand in lines of their own, before the usage.
fn first_paragraph(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    match lines.split_first() {
        None => String::new(),
        Some((first, [])) => (*first).to_owned(),
        Some((first, names)) => format!("{first} {}", names.join(", ")),
    }
}
