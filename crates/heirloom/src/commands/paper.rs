//! `completions` and `man`: made from the command line's own description.

use clap::CommandFactory;

use crate::args::Args;
use crate::args::manage::{Completions, Man};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events;

#[derive(serde::Serialize)]
struct Summary {
    files: Vec<String>,
}

/// Writes a completion script to standard output.
pub(crate) fn completions(args: &Completions, context: &Context) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "heirloom", &mut script);
    context.output.raw(&script);
    Exit::Done
}

/// Writes the manual pages.
pub(crate) fn man(args: &Man, context: &Context) -> Result<Exit, Failure> {
    let mut command = Args::command();
    command.build();
    let Some(folder) = &args.to else {
        let mut page = Vec::new();
        render(&command, &mut page)?;
        context.output.raw(&page);
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    let mut files = Vec::new();
    let mut write = |command: &clap::Command, name: &str| -> Result<(), Failure> {
        let mut page = Vec::new();
        render(command, &mut page)?;
        let path = folder.join(format!("{name}.1"));
        std::fs::write(&path, page).map_err(|error| Failure::file("write", &path, &error))?;
        files.push(path.display().to_string());
        Ok(())
    };
    let mut left = vec![("heirloom".to_owned(), &command)];
    while let Some((name, command)) = left.pop() {
        // The build above gave each its full name for display.
        write(command, &name)?;
        let inner = command.get_subcommands();
        left.extend(
            inner
                .filter(|inner| inner.get_name() != "help")
                .map(|inner| (format!("{name}-{}", inner.get_name()), inner)),
        );
    }
    context.output.line(&format!(
        "Wrote {} pages to {}",
        files.len(),
        folder.display()
    ));
    context
        .output
        .event(&events::summary("man", Summary { files }));
    Ok(Exit::Done)
}

fn render(command: &clap::Command, page: &mut Vec<u8>) -> Result<(), Failure> {
    clap_mangen::Man::new(command.clone())
        .render(page)
        .map_err(|error| {
            Failure::new(Exit::Failed, "the manual page could not be made").because(&error)
        })
}
