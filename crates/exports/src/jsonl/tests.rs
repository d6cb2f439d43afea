//! Lines that other programs can rely on, and the way back.

use std::ops::ControlFlow;
use std::path::Path;

use heirloom_archive::{
    Attachment, History, Location, Message, MessageKind, MessageQuery, Presence, Reaction, Zone,
};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::testing::{approved, archive, canon, chat, family, file, files, go_on, people, said};
use crate::{ExportError, Filter};

fn lines(root: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(root.join(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn everything_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = archive(
        &dir.path().join("archive"),
        &people(),
        &[
            family(),
            (chat("2", "Family 👪"), vec![said(1, "ben", "hi")]),
        ],
    );
    let to = dir.path().join("out");
    let outcome = export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    assert_eq!(
        (outcome.conversations, outcome.messages, outcome.attachments),
        (2, 17, 3)
    );
    assert_eq!((outcome.absent, outcome.unreadable), (1, 0));
    assert_eq!(canon(&mut read(&to).unwrap()), canon(&mut history));
}

#[test]
fn the_lines_have_the_documented_fields() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = archive(&dir.path().join("archive"), &people(), &[family()]);
    let to = dir.path().join("out");
    export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    approved(
        "messages.jsonl",
        &std::fs::read_to_string(to.join(MESSAGES)).unwrap(),
    );
    let message = &lines(&to, MESSAGES)[4];
    assert_eq!(message["sent_at"], "2022-03-23T13:35:00");
    assert_eq!(message["zone"], "unknown");
    let path = message["attachments"][0]["path"].as_str().unwrap();
    assert_eq!(
        std::fs::read(to.join(path)).unwrap(),
        crate::testing::picture()
    );
    assert_eq!(lines(&to, MESSAGES)[15]["sent_at"], "2022-03-24T14:38:00Z");
}

/// Every key of every line is in the published schema, and every required key in every line.
#[test]
fn the_schema_names_every_field() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = archive(&dir.path().join("archive"), &people(), &[family()]);
    let to = dir.path().join("out");
    export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    for (file, schema) in [
        (MESSAGES, "message"),
        (CONVERSATIONS, "conversation"),
        (PARTICIPANTS, "participant"),
    ] {
        let schema: Value = serde_json::from_str(
            &std::fs::read_to_string(to.join(format!("schema/{schema}.schema.json"))).unwrap(),
        )
        .unwrap();
        for line in lines(&to, file) {
            check(&schema, &line, file);
        }
    }
    let schema: Value = serde_json::from_str(SCHEMAS[0].1).unwrap();
    check(
        &schema,
        &serde_json::from_slice(&std::fs::read(to.join(MANIFEST)).unwrap()).unwrap(),
        MANIFEST,
    );
}

/// As much of JSON Schema as ours use.
fn check(schema: &Value, value: &Value, at: &str) {
    let fits = |schema: &Value| std::panic::catch_unwind(|| check(schema, value, at)).is_ok();
    if let Some(choices) = schema
        .get("oneOf")
        .or(schema.get("anyOf"))
        .and_then(Value::as_array)
    {
        assert!(choices.iter().any(fits), "{at}: {value}");
    }
    if let Some(constant) = schema.get("const") {
        assert_eq!(constant, value, "{at}");
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        assert!(words.contains(value), "{at}: {value}");
    }
    let types = match schema.get("type") {
        Some(Value::Array(types)) => types.clone(),
        Some(one) => vec![one.clone()],
        None => vec![],
    };
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    };
    assert!(
        types.is_empty() || types.iter().any(|name| is(name.as_str().unwrap())),
        "{at}: {value} is no {types:?}"
    );
    if let (Some(properties), Some(object)) = (schema.get("properties"), value.as_object()) {
        for (key, value) in object {
            let property = properties
                .get(key)
                .unwrap_or_else(|| panic!("{at}: {key} is not in the schema"));
            check(property, value, &format!("{at}.{key}"));
        }
        for key in schema["required"].as_array().unwrap() {
            assert!(
                object.contains_key(key.as_str().unwrap()),
                "{at}: {key} is missing"
            );
        }
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        for item in list {
            check(items, item, at);
        }
    }
}

#[test]
fn equal_files_are_stored_once_and_other_files_of_one_name_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let with = |minute, bytes: &[u8]| Message {
        attachments: vec![file("a.jpg", "image/jpeg", bytes)],
        ..said(minute, "ana", "")
    };
    let chats = [
        (
            chat("1", "X"),
            vec![with(1, b"one"), with(2, b"two"), with(3, b"one")],
        ),
        (chat("2", "x"), vec![with(1, b"one")]),
    ];
    let mut history = archive(&dir.path().join("archive"), &[], &chats);
    let to = dir.path().join("out");
    export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    let attachments: Vec<_> = files(&to.join(ATTACHMENTS))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(attachments.len(), 3, "{attachments:?}");
    assert_eq!(canon(&mut read(&to).unwrap()), canon(&mut history));
}

#[test]
fn a_filter_chooses_chats_times_kinds_and_media() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = archive(
        &dir.path().join("archive"),
        &people(),
        &[family(), (chat("2", "Ben"), vec![said(1, "ben", "hi")])],
    );
    let mut count = |filter: Filter, name: &str| {
        let to = dir.path().join(name);
        export(&mut history, &filter, &to, &mut go_on).unwrap();
        let media = files(&to)
            .iter()
            .filter(|(name, _)| name.starts_with(ATTACHMENTS))
            .count();
        (
            lines(&to, CONVERSATIONS).len(),
            lines(&to, MESSAGES).len(),
            media,
        )
    };
    assert_eq!(
        count(
            Filter {
                conversations: vec!["2".into()],
                ..Filter::default()
            },
            "a"
        ),
        (1, 1, 0)
    );
    assert_eq!(
        count(
            Filter {
                kinds: vec![MessageKind::Poll],
                ..Filter::default()
            },
            "b"
        ),
        (2, 1, 0)
    );
    assert_eq!(
        count(
            Filter {
                without_media: true,
                ..Filter::default()
            },
            "c"
        ),
        (2, 17, 0)
    );
    let from = Some(said(1_500, "", "").sent_at);
    assert_eq!(
        count(
            Filter {
                from,
                ..Filter::default()
            },
            "d"
        ),
        (2, 8, 0)
    );
    assert_eq!(
        count(
            Filter {
                until: from,
                ..Filter::default()
            },
            "e"
        ),
        (2, 9, 3)
    );
    let unknown = Filter {
        conversations: vec!["3".into()],
        ..Filter::default()
    };
    let error = export(&mut history, &unknown, &dir.path().join("f"), &mut go_on).unwrap_err();
    assert_eq!(error.to_string(), "no conversation has the id 3");
    assert!(!dir.path().join("f").exists());
}

#[test]
fn an_interrupted_export_leaves_nothing_that_looks_finished() {
    let dir = tempfile::tempdir().unwrap();
    let messages = (0..2_500).map(|minute| said(minute, "ana", "x")).collect();
    let mut history = archive(
        &dir.path().join("archive"),
        &[],
        &[(chat("1", "X"), messages)],
    );
    let to = dir.path().join("out");
    let mut calls = 0;
    let error = export(&mut history, &Filter::default(), &to, &mut |_| {
        calls += 1;
        if calls == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(error, Err(ExportError::Interrupted)));
    assert!(!to.exists());
    // What a killed run leaves.
    std::fs::create_dir_all(to.join(".heirloom-unfinished/attachments")).unwrap();
    assert!(read(&to).is_err());
    export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    assert_eq!(
        read(&to).unwrap().conversations().unwrap()[0].messages,
        2_500
    );
    assert!(matches!(
        export(&mut history, &Filter::default(), &to, &mut go_on),
        Err(ExportError::NotEmpty(_))
    ));
}

#[test]
fn an_attachment_that_cannot_be_read_is_named_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    let mut history = archive(&root, &people(), &[family()]);
    let (_, path) = files(&root)
        .into_iter()
        .find(|(name, _)| name.ends_with("WA0001.gif"))
        .unwrap();
    std::fs::remove_file(path).unwrap();
    let to = dir.path().join("out");
    let outcome = export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    assert_eq!(
        (outcome.attachments, outcome.unreadable, outcome.messages),
        (2, 1, 16)
    );
    assert!(outcome.unreadable_examples[0].starts_with("IMG-20220323-WA0001.gif"));
    assert_eq!(
        lines(&to, MESSAGES)[4]["attachments"][0]["presence"],
        "unreadable"
    );
}

#[test]
fn hostile_lines_are_errors_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = archive(&dir.path().join("archive"), &people(), &[family()]);
    let to = dir.path().join("out");
    export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    let good = std::fs::read_to_string(to.join(MESSAGES)).unwrap();
    for (from, into) in [
        ("\"kind\":\"text\"", "\"kind\":\"texts\""),
        ("\"2022-03-23T13:32:00\"", "\"noon\""),
        ("family@g.us", "other@g.us"),
        ("\"data\":\"AAH/\"", "\"data\":\"%\""),
        ("{\"id\"", "{\"di\""),
        ("}\n", "\n"),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(to.join(MESSAGES), good.replacen(from, into, 1)).unwrap();
        let all = |history: &mut JsonlHistory| {
            history.messages("family@g.us", MessageQuery::default(), &mut |_| {
                Ok(ControlFlow::Continue(()))
            })
        };
        assert!(
            read(&to).and_then(|mut history| all(&mut history)).is_err(),
            "{into}"
        );
    }
    let outside = good.replace("attachments/Family 👪/IMG", "../archive/IMG");
    assert_ne!(outside, good);
    std::fs::write(to.join(MESSAGES), outside).unwrap();
    let attachment = Attachment {
        path: "../archive/heirloom-archive.json".into(),
        ..Attachment::default()
    };
    assert!(read(&to).unwrap().open(&attachment).is_err());
}

fn any_message() -> impl Strategy<Value = Message> {
    let attachment = (
        ".{0,12}",
        proptest::collection::vec(any::<u8>(), 0..20),
        0_i32..4,
    )
        .prop_map(|(name, bytes, presence)| Attachment {
            presence: if presence > 2 { 77 } else { presence },
            content: bytes,
            bytes: 3,
            ..file(&name, "", b"")
        });
    let parts = (
        any::<u16>(),
        prop_oneof![
            -1_000_000_i64..1_000_000,
            Just(i64::MAX),
            Just(i64::MIN),
            Just(1_648_042_260_123)
        ],
        0_i32..3,
        -2_i32..20,
        ".{0,30}",
        proptest::collection::vec(attachment, 0..3),
        (-90.0..90.0_f64, -180.0..180.0_f64),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)),
        any::<i64>(),
    );
    parts.prop_map(
        |(id, sent_at, zone, kind, text, attachments, (latitude, longitude), raw, at)| Message {
            id: format!("m{id}"),
            sent_at,
            zone: if zone == 2 { 9 } else { zone },
            kind,
            text: text.clone(),
            attachments,
            location: (kind == 9).then(|| Location {
                latitude,
                longitude,
                name: text,
                ..Location::default()
            }),
            raw: raw.map(|data| heirloom_archive::Raw {
                kind: "x".into(),
                data,
            }),
            reactions: vec![Reaction {
                author: "a".into(),
                emoji: "👍".into(),
                at,
            }],
            ..Message::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_history_comes_back(
        messages in proptest::collection::vec(any_message(), 0..15),
        titles in proptest::collection::vec(".{0,15}", 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let chats: Vec<_> =
            titles.iter().enumerate().map(|(n, title)| (chat(&n.to_string(), title), messages.clone())).collect();
        let mut history = archive(&dir.path().join("archive"), &people(), &chats);
        let to = dir.path().join("out");
        let outcome = export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
        prop_assert_eq!(outcome.unreadable, 0);
        prop_assert_eq!(canon(&mut read(&to).unwrap()), canon(&mut history));
    }

    #[test]
    fn bytes_of_any_kind_are_read_without_a_panic(at in 0_usize..5_000, to_byte in any::<u8>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut history = archive(&dir.path().join("archive"), &people(), &[family()]);
        let to = dir.path().join("out");
        export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
        for name in [MESSAGES, CONVERSATIONS, PARTICIPANTS, MANIFEST] {
            let mut bytes = std::fs::read(to.join(name)).unwrap();
            let at = at % bytes.len();
            bytes[at] = to_byte;
            std::fs::write(to.join(name), bytes).unwrap();
        }
        if let Ok(mut history) = read(&to) {
            let _ = heirloom_archive::canon::canonical(&mut history, &mut Vec::new());
        }
    }
}

#[test]
fn words_have_a_number_each() {
    assert_eq!(
        convert::from_message(
            Message {
                kind: 99,
                zone: Zone::Unknown.into(),
                ..Message::default()
            },
            "c",
            vec![]
        )
        .kind,
        "other-99"
    );
    assert_eq!(
        convert::from_attachment(&Attachment {
            presence: Presence::Absent.into(),
            ..Attachment::default()
        })
        .presence
        .as_deref(),
        Some("absent")
    );
}
