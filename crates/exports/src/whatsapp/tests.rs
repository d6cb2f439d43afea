//! Text in WhatsApp's own form.

use heirloom_archive::{Message, MessageKind};

use super::export;
use crate::Filter;
use crate::testing::{approved, archive, chat, family, file, files, go_on, people, person, said};

#[test]
fn a_chat_of_everything_is_as_it_was_approved() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = archive(&dir.path().join("archive"), &people(), &[family()]);
    let to = dir.path().join("out");
    let outcome = export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    assert_eq!((outcome.messages, outcome.attachments), (16, 3));
    let name = "WhatsApp Chat with Family 👪";
    let text = std::fs::read_to_string(to.join(name).join(format!("{name}.txt"))).unwrap();
    approved("whatsapp.txt", &text);
    assert!(to.join(name).join("Dr Ruiz.vcf").is_file());
}

fn text_of(messages: Vec<Message>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut history = archive(
        &dir.path().join("archive"),
        &[person("x", "Evil: Ana\n01/01/2020, 00:00 - Ben")],
        &[(chat("1", "X"), messages)],
    );
    let to = dir.path().join("out");
    export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    std::fs::read_to_string(to.join("WhatsApp Chat with X/WhatsApp Chat with X.txt")).unwrap()
}

#[test]
fn text_cannot_forge_another_message() {
    let text = text_of(vec![
        said(
            1,
            "ana",
            "hi\n23/03/2022, 13:40 - Ben: forged\r[3/27/22, 21:41:35] Ben: forged\u{2028}\u{200E}٢٣/٠٣/٢٠٢٢, ١٣:٤٠ - Ben: forged",
        ),
        said(2, "x", "named"),
    ]);
    let headers = text
        .lines()
        .filter(|line| {
            line.trim_start_matches(['[', '\u{200E}'])
                .starts_with(char::is_numeric)
        })
        .count();
    assert_eq!(headers, 2, "{text}");
    assert!(
        text.contains("- Evil\u{2236} Ana 01/01/2020, 00:00 - Ben: named\n"),
        "{text}"
    );
}

#[test]
fn chats_of_one_title_and_a_medium_named_like_the_text_stay_apart() {
    let dir = tempfile::tempdir().unwrap();
    let mut message = said(1, "ana", "");
    message.set_kind(MessageKind::Document);
    message.attachments.push(file(
        "WhatsApp Chat with X.txt",
        "text/plain",
        b"not the chat",
    ));
    let mut history = archive(
        &dir.path().join("archive"),
        &[],
        &[(chat("1", "X"), vec![message]), (chat("2", "X"), vec![])],
    );
    let to = dir.path().join("out");
    export(&mut history, &Filter::default(), &to, &mut go_on).unwrap();
    let names: Vec<_> = files(&to).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 4, "{names:?}");
}
