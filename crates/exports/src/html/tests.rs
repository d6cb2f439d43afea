//! Pages that a person can trust: everything shown, nothing run, nothing loaded from elsewhere.

use std::collections::HashSet;
use std::path::Path;

use heirloom_archive::{Conversation, Message, MessageKind, Reply};
use proptest::prelude::*;

use super::export;
use crate::Filter;
use crate::testing::{approved, archive, chat, family, file, files, go_on, people, person, said};

fn is_page(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "html")
}

fn exported(root: &Path, chats: &[crate::testing::Chat]) -> Vec<(String, String)> {
    let mut history = archive(&root.join("archive"), &people(), chats);
    let to = root.join("out");
    export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    files(&to)
        .into_iter()
        .filter(|(name, _)| is_page(name))
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect()
}

fn page<'a>(pages: &'a [(String, String)], name: &str) -> &'a str {
    let found = pages.iter().find(|(found, _)| found == name);
    &found
        .unwrap_or_else(|| {
            panic!(
                "{name} is not among {:?}",
                pages.iter().map(|(name, _)| name).collect::<Vec<_>>()
            )
        })
        .1
}

#[test]
fn the_page_of_a_chat_of_everything_is_as_it_was_approved() {
    let dir = tempfile::tempdir().unwrap();
    let pages = exported(dir.path(), &[family()]);
    approved("page-0001.html", page(&pages, "Family 👪/page-0001.html"));
    let index = page(&pages, "index.html");
    assert!(
        index.contains("16 messages · 23 Mar 2022 – 24 Mar 2022"),
        "{index}"
    );
    let days = page(&pages, "Family 👪/index.html");
    assert!(
        days.contains("page-0001.html#d2022-03-24") && days.contains("March 2022"),
        "{days}"
    );
}

#[test]
fn two_chats_of_one_title_have_a_folder_each() {
    let dir = tempfile::tempdir().unwrap();
    let pages = exported(
        dir.path(),
        &[
            (chat("1", "Ana"), vec![said(1, "ana", "one")]),
            (chat("2", "Ana"), vec![said(1, "ana", "two")]),
        ],
    );
    assert_eq!(pages.len(), 5);
    assert_eq!(
        pages
            .iter()
            .filter(|(name, text)| name.ends_with("page-0001.html") && text.contains(">one<"))
            .count(),
        1
    );
}

#[test]
fn long_chats_have_pages_that_lead_to_each_other_and_replies_across_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut messages: Vec<Message> = (0..2_300).map(|minute| said(minute, "ana", "x")).collect();
    messages[2_200].reply_to = Some(Reply {
        message: "m000005".into(),
        author: "ana".into(),
        text: "x".into(),
    });
    let pages = exported(dir.path(), &[(chat("1", "X"), messages)]);
    let second = page(&pages, "X/page-0002.html");
    assert!(
        second.contains("href=\"page-0001.html\"") && second.contains("href=\"page-0003.html\"")
    );
    let third = page(&pages, "X/page-0003.html");
    assert!(!third.contains("Later →"));
    let anchor = super::message::anchor("m000005");
    assert!(third.contains(&format!("href=\"page-0001.html#{anchor}\"")));
    assert!(page(&pages, "X/page-0001.html").contains(&format!("id=\"{anchor}\"")));
    let shown: usize = pages
        .iter()
        .map(|(_, text)| text.matches("<article").count())
        .sum();
    assert_eq!(shown, 2_300);
}

#[test]
fn files_that_a_browser_would_run_are_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let with = |minute, name: &str| Message {
        attachments: vec![file(name, "image/svg+xml", b"<svg/>")],
        ..said(minute, "ana", "")
    };
    exported(
        dir.path(),
        &[(
            chat("1", "X"),
            vec![with(1, "a.svg"), with(2, "B.HTML"), with(3, "c.xhtml")],
        )],
    );
    let media: Vec<_> = files(&dir.path().join("out/X/media"))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(media, ["B.HTML.txt", "a.svg.txt", "c.xhtml.txt"]);
}

#[test]
fn a_name_that_becomes_active_when_it_is_made_safe_is_renamed_too() {
    let dir = tempfile::tempdir().unwrap();
    let with = |minute, name: &str| Message {
        attachments: vec![file(name, "text/html", b"<script>alert(1)</script>")],
        ..said(minute, "ana", "")
    };
    exported(
        dir.path(),
        &[(
            chat("1", "X"),
            vec![
                with(1, "a.html."),
                with(2, "b.htm "),
                with(3, "c.sv\u{202E}g. ."),
                with(4, &format!("{}.html.", "d".repeat(300))),
                with(5, "e.txt."),
            ],
        )],
    );
    let media: Vec<_> = files(&dir.path().join("out/X/media"))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(media.len(), 5);
    assert_eq!(media[..3], ["a.html.txt", "b.htm.txt", "c.svg.txt"]);
    assert_eq!(media[3].rsplit('.').next(), Some("txt"));
    assert_eq!(media[4], "e.txt");
}

#[test]
fn a_chat_cannot_take_the_place_of_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let pages = exported(
        dir.path(),
        &[
            (chat("1", "index.html"), vec![]),
            (chat("2", "STYLE.css"), vec![]),
        ],
    );
    assert!(page(&pages, "index.html").contains("2 chats"));
    assert!(dir.path().join("out/style.css").is_file());
}

const HOSTILE: &str = "\"'><img src=x onerror=alert(1)><script>alert(1)</script>\u{202E}&#0;";

#[test]
fn nothing_that_strangers_wrote_becomes_markup() {
    let dir = tempfile::tempdir().unwrap();
    let (_, messages) = family();
    let messages = messages.into_iter().map(|mut message| {
        message.id = format!("{}{HOSTILE}", message.id);
        message.author = HOSTILE.into();
        message.text = HOSTILE.into();
        if let Some(location) = &mut message.location {
            location.name = HOSTILE.into();
            location.url = "javascript:alert(1)".into();
            location.latitude = f64::NAN;
        }
        if let Some(poll) = &mut message.poll {
            poll.question = HOSTILE.into();
            poll.options[0].text = HOSTILE.into();
            poll.options[0].voters = vec![HOSTILE.into()];
        }
        for attachment in &mut message.attachments {
            attachment.name = HOSTILE.into();
            attachment.media_type = HOSTILE.into();
            attachment.transcription = HOSTILE.into();
        }
        for reaction in &mut message.reactions {
            reaction.emoji = HOSTILE.into();
        }
        for contact in &mut message.contacts {
            contact.name = HOSTILE.into();
            contact.vcard = HOSTILE.into();
        }
        if let Some(reply) = &mut message.reply_to {
            reply.text = HOSTILE.into();
            reply.author = HOSTILE.into();
        }
        if let Some(raw) = &mut message.raw {
            raw.kind = HOSTILE.into();
        }
        for edit in &mut message.edits {
            edit.before = HOSTILE.into();
        }
        message
    });
    let conversation = Conversation {
        participants: vec![HOSTILE.into()],
        ..chat("1", HOSTILE)
    };
    let mut history = archive(
        &dir.path().join("archive"),
        &[person(HOSTILE, HOSTILE)],
        &[(conversation, messages.collect())],
    );
    let to = dir.path().join("out");
    export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    let mut known = HashSet::new();
    for (name, path) in files(&to).into_iter().filter(|(name, _)| is_page(name)) {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("default-src &#39;none&#39;"), "{name}");
        assert!(
            !text.contains("<script")
                && !text.contains("<img src=x")
                && !text.contains("javascript:alert(1)\""),
            "{name}"
        );
        for tag in text.split('<').skip(1) {
            known.insert(
                tag.split(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '!')
                    .next()
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    for tag in &known {
        assert!(
            "!DOCTYPE html head meta title link body header nav a h1 h2 h3 p main article blockquote strong div ul li span time details summary pre img video audio"
                .split(' ')
                .any(|allowed| tag.trim_start_matches('/') == allowed),
            "{tag}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_message_makes_a_page(texts in proptest::collection::vec((".{0,40}", any::<i64>(), -1_i32..18), 1..10)) {
        let dir = tempfile::tempdir().unwrap();
        let count = texts.len();
        let messages = (0..).zip(texts).map(|(n, (text, sent_at, kind))| {
            let mut message = Message { sent_at, kind, ..said(n, "ben", &text) };
            if message.kind() == MessageKind::Media {
                message.attachments.push(file(&text, "", b"x"));
            }
            message
        });
        let pages = exported(dir.path(), &[(chat("1", "X"), messages.collect())]);
        let shown: usize = pages.iter().map(|(_, text)| text.matches("<article").count() + text.matches("<p class=\"event\"").count()).sum();
        prop_assert_eq!(shown, count);
    }
}

/// Leaves pages where a person can look at them: `HEIRLOOM_LOOK=FOLDER cargo test -p heirloom-exports look`.
#[test]
fn pages_can_be_looked_at() {
    let Some(folder) = std::env::var_os("HEIRLOOM_LOOK") else {
        return;
    };
    let (conversation, mut messages) = family();
    messages.extend((1_600..4_000).step_by(7).map(|minute| {
        said(
            minute,
            ["ana", "ben", "mum"][usize::try_from(minute % 3).unwrap()],
            "A message like any other, some of them rather longer than the rest",
        )
    }));
    exported(
        Path::new(&folder),
        &[
            (conversation, messages),
            (chat("2", "Ben Óg"), vec![said(1, "ben", "hi")]),
            (chat("3", "אמא"), vec![said(9_000, "mum", "שלום")]),
        ],
    );
}
