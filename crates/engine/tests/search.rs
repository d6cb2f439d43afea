//! A search finds what a reader of every message would find, and reads next to nothing else.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    reason = "a test that cannot go on may panic"
)]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use heirloom_archive::{Attachment, Edit, Message};
use heirloom_engine::EngineError;
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::progress::Silent;
use heirloom_engine::repository::{Repository, Selection, View};
use heirloom_engine::search::{self, SearchOptions, SearchOutcome};
use heirloom_engine::store::Store;
use heirloom_engine::store::memory::MemoryStore;
use proptest::prelude::*;
use support::{Made, Run, TestReader, back_up, shrink};

fn view(made: &mut Made) -> View {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    back_up(&store, &MemoryLedger::new(), made, &Run::default()).unwrap();
    Arc::new(Repository::open(store, TestReader::new(), None).unwrap())
        .view(&Selection::Newest)
        .unwrap()
}

fn find(
    view: &View,
    words: &str,
    options: &SearchOptions,
) -> (Vec<(String, String)>, SearchOutcome) {
    let mut hits = Vec::new();
    let outcome = search::run(
        view,
        words,
        options,
        &Silent,
        &mut |conversation, message| {
            hits.push((conversation.to_owned(), message.id));
            Ok(ControlFlow::Continue(()))
        },
    )
    .unwrap();
    assert_eq!(outcome.hits, hits.len() as u64);
    (hits, outcome)
}

fn sorted(mut hits: Vec<(String, String)>) -> Vec<(String, String)> {
    hits.sort();
    hits
}

/// Messages of one chat with these texts.
fn with_texts(texts: &[&str]) -> Made {
    let mut made = Made::new(1, 1, 0);
    for (n, text) in texts.iter().enumerate() {
        let message = Message {
            id: format!("{n}"),
            text: (*text).into(),
            sent_at: i64::try_from(n).unwrap(),
            ..Message::default()
        };
        made.conversations[0].1.push(message);
    }
    made
}

fn hits_in(texts: &[&str], words: &str) -> Vec<String> {
    find(
        &view(&mut with_texts(texts)),
        words,
        &SearchOptions::default(),
    )
    .0
    .into_iter()
    .map(|(_, id)| id)
    .collect()
}

/// Runs of letters and digits; of scripts without spaces any part counts.
fn naive(text: &str, word: &str) -> bool {
    let text = text.to_lowercase();
    let han = |char: char| ('\u{4e00}'..='\u{9fff}').contains(&char);
    if word.chars().all(han) {
        return text.contains(word);
    }
    text.split(|char: char| !char.is_alphanumeric() || han(char))
        .any(|run| run == word)
}

fn texts_of(message: &Message) -> Vec<&str> {
    let names = message
        .attachments
        .iter()
        .map(|attachment| attachment.name.as_str());
    std::iter::once(message.text.as_str())
        .chain(names)
        .collect()
}

fn expected(made: &Made, words: &[&str]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (conversation, list) in &made.conversations {
        for message in list {
            if words
                .iter()
                .all(|word| texts_of(message).iter().any(|text| naive(text, word)))
            {
                all.push((conversation.id.clone(), message.id.clone()));
            }
        }
    }
    sorted(all)
}

#[test]
fn a_search_finds_exactly_what_a_scan_finds() {
    let mut made = Made::new(31, 5, 3000);
    shrink(&mut made, 50);
    let view = view(&mut made);
    let words = [
        "hello",
        "hello3",
        "train29",
        "größe0",
        "größe12",
        "東",
        "京",
        "東京",
        "7",
        "img",
        "jpg",
        "gone",
        "ok1",
        "nothing",
        "12",
    ];
    for (at, word) in words.iter().enumerate() {
        let (hits, _) = find(&view, word, &SearchOptions::default());
        assert!(sorted(hits) == expected(&made, &[word]), "{word}");
        let other = words[(at * 7 + 3) % words.len()];
        // Upper case of ß is two letters, and another word.
        let shouted = if word.contains('ß') {
            (*word).to_owned()
        } else {
            word.to_uppercase()
        };
        let (hits, _) = find(
            &view,
            &format!("{other}  {shouted}!"),
            &SearchOptions::default(),
        );
        assert!(
            sorted(hits) == expected(&made, &[word, other]),
            "{word} {other}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_text_and_word_are_found_as_by_a_scan(
        texts in proptest::collection::vec("[a-cäA-C0-2東京都 .,'\u{301}]{0,24}", 1..200),
        words in proptest::collection::vec("[a-cä0-2]{1,3}|[東京都]{1,3}", 1..12),
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut made = with_texts(&texts);
        let view = view(&mut made);
        for word in &words {
            let (hits, _) = find(&view, word, &SearchOptions::default());
            let found = sorted(hits);
            let wanted = expected(&made, &[word]);
            prop_assert!(found == wanted, "{}: {:?} and not {:?}", word, found, wanted);
        }
    }
}

#[test]
fn scripts_without_spaces_are_found_by_any_part() {
    let texts = [
        "東京都に住んでいます",
        "京都と東京",
        "สวัสดีครับ ไปไหนมา",
        "오늘저녁에만나요",
        "no such thing",
    ];
    assert_eq!(hits_in(&texts, "東京"), ["0", "1"]);
    assert_eq!(hits_in(&texts, "京都"), ["0", "1"]);
    assert_eq!(
        hits_in(&texts, "東京都"),
        ["0"],
        "its pairs stand in the other message too, but not it"
    );
    assert_eq!(hits_in(&texts, "住んで"), ["0"]);
    assert_eq!(hits_in(&texts, "ไปไหน"), ["2"]);
    assert_eq!(hits_in(&texts, "저녁"), ["3"]);
    assert_eq!(
        hits_in(&texts, "京 都 東"),
        ["0", "1"],
        "three words, each anywhere"
    );
}

#[test]
fn words_are_whole_and_case_does_not_count() {
    let texts = [
        "Breakfast at EIGHT",
        "breakfasts",
        "ÖSTERREICH und Größe",
        "don't",
        "ДОМ",
        "",
    ];
    assert_eq!(hits_in(&texts, "breakfast"), ["0"]);
    assert_eq!(hits_in(&texts, "eight BREAKFAST"), ["0"]);
    assert_eq!(hits_in(&texts, "österreich"), ["2"]);
    assert_eq!(hits_in(&texts, "дом"), ["4"]);
    assert_eq!(hits_in(&texts, "don't"), ["3"]);
    assert_eq!(hits_in(&texts, "break"), Vec::<String>::new());
    assert_eq!(
        hits_in(&texts, " …!? "),
        Vec::<String>::new(),
        "no word at all finds nothing"
    );
}

#[test]
fn edits_and_names_of_attachments_are_searched_too() {
    let mut made = with_texts(&["new text", "picture", "other"]);
    let list = &mut made.conversations[0].1;
    list[0].edits.push(Edit {
        at: 5,
        before: "an earlier wording".into(),
        before_known: true,
    });
    list[1].attachments.push(Attachment {
        name: "Invoice 2023.pdf".into(),
        bytes: 3,
        source_path: "f".into(),
        ..Attachment::default()
    });
    made.files.insert("f".into(), b"pdf".to_vec());
    let view = view(&mut made);
    let ids = |words: &str| {
        find(&view, words, &SearchOptions::default())
            .0
            .into_iter()
            .map(|(_, id)| id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("earlier"), ["0"]);
    assert_eq!(ids("invoice 2023"), ["1"]);
}

#[test]
fn a_rare_word_opens_few_segments_and_costs_few_reads() {
    let mut made = Made::new(32, 4, 20_000);
    shrink(&mut made, 10);
    made.conversations[1].1[4000].text = "the xylophone stands in the attic".into();
    let view = view(&mut made);
    let (hits, outcome) = find(&view, "Xylophone attic", &SearchOptions::default());
    assert_eq!(
        hits,
        [("chat1".to_owned(), made.conversations[1].1[4000].id.clone())]
    );
    assert!(outcome.filters > 100, "{outcome:?}");
    assert!(outcome.segments_opened <= 3, "{outcome:?}");
    assert!(outcome.store_reads <= 12, "{outcome:?}");
    let (none, outcome) = find(&view, "zygote", &SearchOptions::default());
    assert!(
        none.is_empty() && outcome.segments_opened <= 2,
        "{outcome:?}"
    );
}

#[test]
fn hits_come_oldest_first_and_a_limit_ends_the_search() {
    let mut made = Made::new(33, 1, 4000);
    shrink(&mut made, 10);
    let view = view(&mut made);
    let all = find(&view, "hello3", &SearchOptions::default());
    let times: Vec<i64> = all
        .0
        .iter()
        .map(|(_, id)| {
            made.conversations[0]
                .1
                .iter()
                .find(|message| message.id == *id)
                .unwrap()
                .sent_at
        })
        .collect();
    assert!(times.is_sorted() && times.len() > 20);
    let some = find(
        &view,
        "hello3",
        &SearchOptions {
            limit: 5,
            ..SearchOptions::default()
        },
    );
    assert_eq!(some.0[..], all.0[..5]);
    let mut seen = 0;
    let outcome = search::run(
        &view,
        "hello3",
        &SearchOptions::default(),
        &Silent,
        &mut |_, _| {
            seen += 1;
            Ok(if seen == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        },
    )
    .unwrap();
    assert_eq!((seen, outcome.hits), (3, 3));
}

#[test]
fn a_search_can_be_limited_to_conversations_and_dates() {
    let mut made = Made::new(34, 3, 2000);
    shrink(&mut made, 10);
    let view = view(&mut made);
    let options = SearchOptions {
        conversations: vec!["chat1".into()],
        ..SearchOptions::default()
    };
    let wanted: Vec<_> = expected(&made, &["hello3"])
        .into_iter()
        .filter(|(conversation, _)| conversation == "chat1")
        .collect();
    assert_eq!(sorted(find(&view, "hello3", &options).0), wanted);
    let (from, until) = (
        made.conversations[0].1[500].sent_at,
        made.conversations[0].1[900].sent_at,
    );
    let options = SearchOptions {
        from: Some(from),
        until: Some(until),
        ..SearchOptions::default()
    };
    let mut part = made.clone();
    for (_, list) in &mut part.conversations {
        list.retain(|message| (from..until).contains(&message.sent_at));
    }
    let (hits, outcome) = find(&view, "hello3", &options);
    assert!(sorted(hits) == expected(&part, &["hello3"]));
    assert!(outcome.filters < find(&view, "hello3", &SearchOptions::default()).1.filters);
    let nowhere = SearchOptions {
        conversations: vec!["no such".into()],
        ..SearchOptions::default()
    };
    assert_eq!(find(&view, "hello3", &nowhere).0, []);
}

#[test]
fn what_the_visitor_says_ends_the_search() {
    let view = view(&mut with_texts(&["hello", "hello"]));
    let stopped = search::run(
        &view,
        "hello",
        &SearchOptions::default(),
        &Silent,
        &mut |_, _| Err(EngineError::Interrupted),
    );
    assert!(matches!(stopped, Err(EngineError::Interrupted)));
}
