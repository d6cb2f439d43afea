//! `protect STORE add password`: the store may stand before what is done to it, as scripts write it.

use std::ffi::OsString;

use clap::{Command, CommandFactory as _};

use super::Args;

/// The same words with the store where the parser looks for it.
pub(crate) fn ordered(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let command = Args::command();
    let Some(protect) = command.find_subcommand("protect") else {
        return words;
    };
    let Some(at) = next_word(&words, 1, &command).filter(|at| is(&words, *at, "protect")) else {
        return words;
    };
    let Some(store) = next_word(&words, at + 1, &command) else {
        return words;
    };
    let Some(verb) = next_word(&words, store + 1, &command) else {
        return words;
    };
    if subcommand(protect, &words, store).is_some() {
        return words;
    }
    let Some(verb_command) = subcommand(protect, &words, verb) else {
        return words;
    };
    let is_first = verb_command
        .get_positionals()
        .next()
        .is_some_and(|first| first.get_id() == "store");
    let name = words.remove(store);
    // Without the store, the verb stands one word before.
    let place = if is_first { verb } else { words.len() };
    words.insert(place, name);
    words
}

fn subcommand<'a>(of: &'a Command, words: &[OsString], at: usize) -> Option<&'a Command> {
    of.find_subcommand(words.get(at)?)
}

fn is(words: &[OsString], at: usize, word: &str) -> bool {
    words.get(at).is_some_and(|found| found == word)
}

/// The next word from `at` on that is neither an option that every command has nor such an option's value.
fn next_word(words: &[OsString], at: usize, command: &Command) -> Option<usize> {
    let mut at = at;
    loop {
        let word = words.get(at)?.to_str().unwrap_or_default();
        if !word.starts_with('-') {
            return Some(at);
        }
        let takes_value = command.get_arguments().any(|option| {
            option.get_action().takes_values()
                && option
                    .get_long()
                    .is_some_and(|long| word == format!("--{long}"))
        });
        at += if takes_value { 2 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn ordered_text(text: &str) -> String {
        let words = ordered(text.split(' ').map(OsString::from));
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn a_store_before_the_verb_is_the_store_of_the_verb() {
        for (written, meant) in [
            (
                "heirloom protect ./b add password --password-file ./p",
                "heirloom protect add password --password-file ./p ./b",
            ),
            (
                "heirloom --json protect --home ./h http://localhost:1 add --password-file ./p password",
                "heirloom --json protect --home ./h add --password-file ./p password http://localhost:1",
            ),
            ("heirloom protect ./b status", "heirloom protect status ./b"),
            (
                "heirloom protect ./b remove --yes Way",
                "heirloom protect remove ./b --yes Way",
            ),
            (
                "heirloom protect ./b rename Old New",
                "heirloom protect rename ./b Old New",
            ),
            (
                "heirloom protect ./b change password --new-password-file ./p",
                "heirloom protect change password --new-password-file ./p ./b",
            ),
        ] {
            assert_eq!(ordered_text(written), meant);
            Args::try_parse_from(meant.split(' ')).unwrap();
        }
    }

    #[test]
    fn everything_else_stays_as_it_is_written() {
        for text in [
            "heirloom",
            "heirloom protect",
            "heirloom protect --help",
            "heirloom protect status ./b",
            "heirloom protect status status",
            "heirloom protect add password ./b",
            "heirloom protect remove ./b status",
            "heirloom protect ./b",
            "heirloom protect ./b ./c",
            "heirloom restore protect add --to ./d",
            "heirloom --home protect restore ./b --to ./d",
            "heirloom check ./b",
        ] {
            assert_eq!(ordered_text(text), text);
        }
    }
}
