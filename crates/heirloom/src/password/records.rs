//! Which password: a backup has two where two computers each added one and their keyrings were joined.

use super::Guarded;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{secrets, words};

/// How often a person may choose again.
const TRIES: usize = 5;

impl Guarded {
    /// Whether both are versions of one password: a version's number says nothing beside another record's.
    pub(crate) fn is_version_of(&self, other: &Self) -> bool {
        self.pinned.record == other.pinned.record
            && self.pinned.identity.to_bytes() == other.pinned.identity.to_bytes()
            && self.address.origin == other.address.origin
    }
}

/// The versions of one password, oldest first: of the only one, of the one at `number`, or of the one that a person chooses.
///
/// `slots` have their numbers in `protect status`. None is tried in turn: a right password would be counted as a wrong guess
/// at the other one.
pub(crate) fn one_of(
    slots: &[(usize, Guarded)],
    number: Option<usize>,
    context: &Context,
) -> Result<Vec<Guarded>, Failure> {
    let mut passwords: Vec<Vec<(usize, Guarded)>> = Vec::new();
    for slot in slots {
        let known = passwords.iter_mut().find(|versions| {
            versions
                .iter()
                .any(|(_, version)| version.is_version_of(&slot.1))
        });
        match known {
            Some(versions) => versions.push(slot.clone()),
            None => passwords.push(vec![slot.clone()]),
        }
    }
    let at = match (number, passwords.len()) {
        (Some(number), _) => passwords
            .iter()
            .position(|versions| versions.iter().any(|(known, _)| *known == number))
            .ok_or_else(|| {
                Failure::usage(format!("way in number {number} is no password"))
                    .hint("`heirloom protect status STORE` numbers them")
            })?,
        (None, 0 | 1) => 0,
        (None, _) => choose(&passwords, context)?,
    };
    let mut versions: Vec<_> = passwords
        .into_iter()
        .nth(at)
        .unwrap_or_default()
        .into_iter()
        .map(|(_, version)| version)
        .collect();
    versions.sort_by_key(|version| version.version);
    Ok(versions)
}

fn choose(passwords: &[Vec<(usize, Guarded)>], context: &Context) -> Result<usize, Failure> {
    let lines: Vec<_> = passwords
        .iter()
        .filter_map(|versions| versions.last())
        .map(|(number, version)| {
            let origin = words::tame(&version.address.origin);
            format!("number {number} (checked by {origin})")
        })
        .collect();
    if !context.output.can_ask() {
        return Err(Failure::new(
            Exit::NeedsUnlock,
            format!(
                "this backup has {} passwords, and nobody can be asked which one is meant: {}",
                lines.len(),
                lines.join(", ")
            ),
        )
        .hint("say which: `--password-number N`; two computers each added one: `heirloom protect remove STORE N` removes the one that is not needed"));
    }
    let output = &context.output;
    output
        .show("This backup has several passwords, by their numbers in `heirloom protect status`:");
    for line in &lines {
        output.show(&format!("  {line}"));
    }
    for _ in 0..TRIES {
        let answer = secrets::ask_line("Which one? ")?;
        let number = answer.trim().parse::<usize>().ok();
        let at = passwords
            .iter()
            .position(|versions| versions.iter().any(|(known, _)| Some(*known) == number));
        if let Some(at) = at {
            return Ok(at);
        }
        output.show("  type one of these numbers");
    }
    Err(Failure::new(Exit::NeedsUnlock, "no password was chosen"))
}
