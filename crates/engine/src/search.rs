//! `search`: which messages hold these words. Term filters first, then only the segments that may hold them all.

use std::ops::ControlFlow;

use heirloom_archive::Message;
use prost::Message as _;

use crate::error::{Damage, EngineError};
use crate::ids::ChunkId;
use crate::progress::{Amount, Phase, Progress};
use crate::proto;
use crate::repository::View;
use crate::terms;

/// How to search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchOptions {
    /// Hits at most; 0 = all.
    pub limit: usize,
    /// Ids of conversations; empty = all.
    pub conversations: Vec<String>,
    /// From this `sent_at` on.
    pub from: Option<i64>,
    /// Up to, and not including, this `sent_at`.
    pub until: Option<i64>,
}

/// What a search cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchOutcome {
    /// Messages shown.
    pub hits: u64,
    /// Filters looked at.
    pub filters: u64,
    /// Segments opened.
    pub segments_opened: u64,
    /// Reads from the store, those of opening it among them.
    pub store_reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
}

/// Called with a conversation's id and a message; may stop.
pub type Hit<'a> = dyn FnMut(&str, Message) -> Result<ControlFlow<()>, EngineError> + 'a;

/// Filters that are read ahead at once.
const READ_AHEAD: usize = 512;

/// Finds the messages that hold all words, conversation by conversation, oldest first.
///
/// A word is a run of letters and digits, upper and lower case alike; in scripts without spaces any part of the text.
pub fn run(
    view: &View,
    words: &str,
    options: &SearchOptions,
    progress: &dyn Progress,
    hit: &mut Hit<'_>,
) -> Result<SearchOutcome, EngineError> {
    let mut wanted: Vec<String> = Vec::new();
    terms::for_each_word(words, &mut |word| wanted.push(word.to_owned()));
    wanted.sort();
    wanted.dedup();
    // Words of scripts without spaces are pairs of neighbours; longer runs must stand in the text as they are.
    let phrases = terms::runs_without_spaces(words);
    let mut outcome = SearchOutcome::default();
    if wanted.is_empty() {
        return Ok(outcome);
    }
    let hashes: Vec<u64> = wanted.iter().map(|word| terms::hash_word(word)).collect();
    let chosen: Vec<_> = view
        .entries()
        .filter(|conversation| {
            options.conversations.is_empty()
                || options.conversations.contains(&conversation.entry.id)
        })
        .collect();
    view.read_trees_ahead(&chosen)?;
    progress.phase(
        Phase::Searching,
        Some(Amount {
            items: u64::try_from(chosen.len()).unwrap_or(0),
            bytes: 0,
        }),
    );
    let mut stopped = false;
    for conversation in chosen {
        if progress.interrupted() {
            return Err(EngineError::Interrupted);
        }
        let (_, mut segments) = view.tree(conversation)?;
        segments.retain(|segment| {
            options.from.is_none_or(|from| segment.last_at >= from)
                && options.until.is_none_or(|until| segment.first_at < until)
        });
        let likely = filter(view, &segments, &hashes, &mut outcome)?;
        outcome.segments_opened += u64::try_from(likely.len()).unwrap_or(0);
        view.for_each_message(&likely, &mut |message| {
            let early = options.from.is_some_and(|from| message.sent_at < from);
            let late = options.until.is_some_and(|until| message.sent_at >= until);
            if early || late || !holds(&message, &wanted, &phrases) {
                return Ok(ControlFlow::Continue(()));
            }
            outcome.hits += 1;
            let full = options.limit > 0
                && usize::try_from(outcome.hits).is_ok_and(|hits| hits >= options.limit);
            let flow = hit(&conversation.entry.id, message)?;
            stopped = full || flow.is_break();
            Ok(if stopped {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        progress.advance(Phase::Searching, 1, 0);
        if stopped {
            break;
        }
    }
    (outcome.store_reads, outcome.bytes_read) = view.reads();
    Ok(outcome)
}

fn filter(
    view: &View,
    segments: &[proto::SegmentEntry],
    hashes: &[u64],
    outcome: &mut SearchOutcome,
) -> Result<Vec<proto::SegmentEntry>, EngineError> {
    let damaged = || EngineError::damaged("a term filter", Damage::Malformed);
    let repository = view.repository();
    let mut likely = Vec::new();
    for batch in segments.chunks(READ_AHEAD) {
        let mut filters = Vec::with_capacity(batch.len());
        for segment in batch {
            filters.push((
                segment,
                ChunkId::from_slice(&segment.filter).ok_or_else(damaged)?,
            ));
        }
        let rows: Vec<_> = filters
            .iter()
            .filter_map(|(_, id)| repository.index.row(&id.short()).copied())
            .collect();
        repository.fetcher.read_ahead(&repository.index, &rows)?;
        for (segment, id) in filters {
            outcome.filters += 1;
            if terms::may_hold(&repository.chunk(&id)?, hashes).map_err(|_| damaged())? {
                likely.push(segment.clone());
            }
        }
    }
    Ok(likely)
}

/// Whether a message holds all the words, each whole, and all the phrases.
fn holds(message: &Message, wanted: &[String], phrases: &[String]) -> bool {
    let mut found = vec![false; wanted.len()];
    let mut found_phrases = vec![false; phrases.len()];
    terms::for_each_text(&message.encode_to_vec(), &mut |text| {
        terms::for_each_word(text, &mut |word| {
            if let Ok(at) = wanted.binary_search_by(|wanted| wanted.as_str().cmp(word)) {
                found[at] = true;
            }
        });
        for (found, phrase) in found_phrases.iter_mut().zip(phrases) {
            *found |= text.contains(phrase.as_str());
        }
    });
    found.into_iter().chain(found_phrases).all(|found| found)
}
