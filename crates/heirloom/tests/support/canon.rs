//! The canonical form of whatever holds a history: a source, a restored folder, an export.

use std::fs;
use std::io::Read;
use std::path::Path;

use heirloom_archive::canon::{self, CanonSink};
use heirloom_archive::form::ArchiveReader;
use heirloom_archive::history::{ConversationSummary, Visit};
use heirloom_archive::{Attachment, History, HistoryError, MessageQuery, Participant};
use heirloom_importers::detect::{self, Options};
use heirloom_importers::whatsapp::crypt::WaKey;
use heirloom_importers::whatsapp::text::DateOrder;

use super::corpus::Case;

/// Of a source, as its importer reads it.
pub fn of_source(case: &Case) -> String {
    let wa_key = case
        .wa_key
        .as_ref()
        .map(|path| WaKey::from_bytes(&fs::read(path).unwrap(), "key").unwrap());
    let date_order = case.date_order.map(|order| match order {
        "dmy" => DateOrder::DayFirst,
        "mdy" => DateOrder::MonthFirst,
        _ => DateOrder::YearFirst,
    });
    let options = Options {
        date_order,
        wa_key,
        title: None,
    };
    let mut source = detect::open(&case.path, options).unwrap();
    let mut sink = CanonSink::new(source.media());
    let report = source.read(&mut sink).unwrap();
    assert!(report.adds_up(), "{}: {report:?}", case.name);
    sink.finish()
}

/// Of a restored folder.
pub fn of_restored(path: &Path) -> String {
    let mut text = Vec::new();
    canon::canonical(&mut ArchiveReader::open(path).unwrap(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Of a restored folder, media left out: one that was lost cannot be opened. `None` where there is no such folder.
pub fn text_of_restored(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    let reader = ArchiveReader::open(path).ok()?;
    canon::canonical(&mut WithoutMedia(reader), &mut text).unwrap();
    Some(String::from_utf8(text).unwrap())
}

struct WithoutMedia(ArchiveReader);

impl History for WithoutMedia {
    fn conversations(&mut self) -> Result<Vec<ConversationSummary>, HistoryError> {
        self.0.conversations()
    }

    fn participants(&mut self) -> Result<Vec<Participant>, HistoryError> {
        self.0.participants()
    }

    fn messages(
        &mut self,
        conversation: &str,
        query: MessageQuery,
        visit: &mut Visit<'_>,
    ) -> Result<(), HistoryError> {
        self.0.messages(conversation, query, &mut |mut message| {
            message.attachments.clear();
            visit(message)
        })
    }

    fn open(&mut self, _: &Attachment) -> Result<Option<Box<dyn Read + '_>>, HistoryError> {
        Ok(None)
    }
}

/// Of a JSONL export.
pub fn of_export(path: &Path) -> String {
    let mut text = Vec::new();
    canon::canonical(&mut heirloom_exports::jsonl::read(path).unwrap(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Fails with the first line that differs.
pub fn assert_same(what: &str, wanted: &str, found: &str) {
    if wanted == found {
        return;
    }
    let [wanted, found]: [Vec<&str>; 2] = [wanted, found].map(|text| text.lines().collect());
    let longer = wanted.len().max(found.len());
    let differing = (0..longer)
        .map(|at| (wanted.get(at), found.get(at)))
        .find(|(wanted, found)| wanted != found);
    panic!(
        "{what}: {} lines wanted, {} found; first difference: {differing:#?}",
        wanted.len(),
        found.len()
    );
}
