//! Exports as people have them: what is read, what is reported, what is refused.

use std::io::{Cursor, Write};
use std::sync::Arc;

use crate::common::{Collected, read_all, time_of};
use heirloom_archive::report::Kind;
use heirloom_archive::{ConversationKind, MessageKind, Presence, Source, SourceError, Zone};
use heirloom_importers::detect::{self, Options};
use heirloom_importers::whatsapp::text::{DateOrder, TextExport, TextOptions};
use proptest::prelude::*;

fn zip_of(files: &[(&str, &[u8])]) -> Arc<[u8]> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer
            .start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner().into()
}

fn open(text: &str) -> TextExport {
    TextExport::from_bytes(
        "WhatsApp Chat with Ana.txt",
        text.as_bytes().into(),
        TextOptions::default(),
    )
    .unwrap()
}

fn read(text: &str) -> Collected {
    read_all(&mut open(text))
}

fn error_of(text: &str) -> SourceError {
    match TextExport::from_bytes("c.txt", text.as_bytes().into(), TextOptions::default()) {
        Err(error) => error,
        Ok(mut export) => export.read(&mut Collected::default()).unwrap_err(),
    }
}

#[test]
fn times_are_a_wall_clocks_and_say_so() {
    let found = read("13/06/2018, 21:25 - Ana: hi\n");
    assert_eq!(time_of(found.messages[0].sent_at), "2018-06-13T21:25:00");
    assert_eq!(found.messages[0].zone(), Zone::Unknown);
    assert!(!found.messages[0].from_owner);
}

#[test]
fn continuation_lines_belong_to_the_message_above() {
    let found = read(
        "13/06/2018, 21:25 - Ana: one\r\n12/5 we meet\r\n\r\n12/5/22 at noon\r\n13/06/2018, 21:26 - Bob: two",
    );
    assert_eq!(
        found.messages[0].text,
        "one\n12/5 we meet\n\n12/5/22 at noon"
    );
    assert_eq!(found.messages[1].text, "two");
    assert_eq!(found.report.counts(Kind::Messages).skipped, 0);
}

#[test]
fn a_header_of_another_form_is_reported_and_not_folded_into_the_message_above() {
    let found = read(
        "13/06/2018, 21:25 - Ana: one\n[2018-06-13 10:00:00] Bob: pasted\nits second line\n99/99/2018, 21:26 - Ana: x\n13 Jun 2018, 21:26 - Ana: y\n13/06/2018, 21:27 - Ana: two\n",
    );
    let texts: Vec<_> = found.messages.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(texts, ["one", "two"]);
    let skips: Vec<_> = found
        .report
        .skips()
        .map(|skip| (skip.reason.as_str(), skip.count, skip.examples[0].as_str()))
        .collect();
    assert_eq!(
        skips,
        [
            ("a header of an unknown form", 1, "line 5"),
            ("a header of another form than the file's", 1, "line 2"),
            ("a header with a day that does not exist", 1, "line 4"),
        ]
    );
    assert!(found.report.left_out_something_readable());
}

#[test]
fn where_only_a_space_ends_a_header_system_lines_are_still_messages() {
    let found = read(
        "13. 6. 2018. 21:25:15 Ana: one\n13. 6. 2018. 21:25:16 You added Bob\n13. 6. 2018. 21:25:17 Ana: two\n",
    );
    let kinds: Vec<_> = found
        .messages
        .iter()
        .map(heirloom_archive::Message::kind)
        .collect();
    assert_eq!(
        kinds,
        [MessageKind::Text, MessageKind::System, MessageKind::Text]
    );
    // Elsewhere the same words are text.
    let found = read("13.06.2018, 21:25 - Ana: one\n12.6.2018 21:25 we meet\n");
    assert_eq!(found.messages[0].text, "one\n12.6.2018 21:25 we meet");
}

#[test]
fn a_file_that_does_not_show_its_date_order_is_asked_about() {
    let text = "03/04/2022, 10:00 - Ana: hi\n05/06/2022, 10:00 - Ana: ho\n";
    let SourceError::AmbiguousDates { example, .. } = error_of(text) else {
        panic!()
    };
    assert_eq!(example, "03/04/2022");
    for (order, day) in [
        (DateOrder::DayFirst, "2022-04-03"),
        (DateOrder::MonthFirst, "2022-03-04"),
    ] {
        let options = TextOptions {
            date_order: Some(order),
            ..TextOptions::default()
        };
        let found = read_all(
            &mut TextExport::from_bytes("c.txt", text.as_bytes().into(), options).unwrap(),
        );
        assert!(time_of(found.messages[0].sent_at).starts_with(day));
    }
}

#[test]
fn a_notice_that_is_later_than_the_next_line_does_not_turn_the_dates() {
    let text = "01/02/2022, 10:00 - Messages are end-to-end encrypted.\n12/01/2022, 10:00 - Ana: a\n01/03/2022, 10:00 - Ana: b\n05/03/2022, 10:00 - Ana: b\n02/04/2022, 10:00 - Ana: b\n";
    let found = read(text);
    assert!(time_of(found.messages[1].sent_at).starts_with("2022-01-12"));
    assert_eq!(
        found.report.notes().collect::<Vec<_>>(),
        [("messages that step back in time", 1)]
    );
}

#[test]
fn what_is_no_chat_is_refused_with_a_hint() {
    for text in ["", "hello\nworld\n", "12/5 we meet\n", "\u{FFFD}\u{0}"] {
        let error = error_of(text);
        assert!(
            matches!(error, SourceError::NotAChat { .. }),
            "{text:?}: {error:?}"
        );
        assert!(error.hint().unwrap().contains("Export chat"));
    }
    let zip = zip_of(&[("a.jpg", b"x"), ("b.txt", b"no chat")]);
    assert!(matches!(
        TextExport::from_bytes("x.zip", zip, TextOptions::default()),
        Err(SourceError::NotAChat { .. })
    ));
}

#[test]
fn a_damaged_zip_is_damaged_and_not_no_chat() {
    let zip = zip_of(&[(
        "_chat.txt",
        "[13/06/2018, 21:25:15] Ana: hi\n".repeat(50).as_bytes(),
    )]);
    let cut: Arc<[u8]> = zip[..zip.len() - 30].into();
    assert!(matches!(
        TextExport::from_bytes("x.zip", cut, TextOptions::default()),
        Err(SourceError::Damaged { .. })
    ));
    let mut flipped = zip.to_vec();
    flipped[60] ^= 1;
    let flipped: Arc<[u8]> = flipped.into();
    match TextExport::from_bytes("x.zip", flipped, TextOptions::default()) {
        Err(error) => assert!(
            matches!(
                error,
                SourceError::NotAChat { .. } | SourceError::Damaged { .. }
            ),
            "{error:?}"
        ),
        Ok(mut export) => {
            let error = export.read(&mut Collected::default()).unwrap_err();
            assert!(matches!(error, SourceError::Damaged { .. }), "{error:?}");
        }
    }
}

#[test]
fn a_calendar_that_is_not_known_is_named() {
    let error = error_of("1397/03/23, 21:25 - Ana: hi\n1397/03/24, 21:25 - Ana: hi\n");
    assert!(
        error.to_string().contains("unknown calendar (1397/03/23)"),
        "{error}"
    );
}

#[test]
fn the_text_is_found_whatever_its_name_and_documents_stay_documents() {
    let chat = "[13/06/2018, 21:25:15] Ana: hi\n\u{200E}[13/06/2018, 21:26:15] Ana: \u{200E}<attached: notes.txt>\n";
    let zip = zip_of(&[
        ("notes.txt", b"13/06/2018 dear diary"),
        ("Unterhaltung.txt", chat.as_bytes()),
    ]);
    let found = read_all(
        &mut TextExport::from_bytes("WhatsApp Chat - Ana.zip", zip, TextOptions::default())
            .unwrap(),
    );
    assert_eq!(found.messages.len(), 2);
    assert_eq!(found.messages[1].attachments[0].source_path, "notes.txt");
    assert_eq!(found.conversation().title, "Ana");
    assert_eq!(found.conversation().id, "whatsapp-text:Ana");
    assert!(!found.report.left_out_something_readable());
}

#[test]
fn an_export_inside_a_folder_of_the_zip_is_found_with_its_media() {
    let chat = "13/06/2018, 21:25 - Ana: \u{200E}IMG-1.jpg (file attached)\n";
    let zip = zip_of(&[
        ("Ana/WhatsApp Chat with Ana.txt", chat.as_bytes()),
        ("Ana/IMG-1.jpg", b"one"),
        ("other/IMG-1.jpg", b"other"),
        ("__MACOSX/Ana/._IMG-1.jpg", b"junk"),
        ("Ana/.DS_Store", b"junk"),
    ]);
    let found =
        read_all(&mut TextExport::from_bytes("Ana.zip", zip, TextOptions::default()).unwrap());
    assert_eq!(
        found.messages[0].attachments[0].source_path,
        "Ana/IMG-1.jpg"
    );
    let skip = found.report.skips().next().unwrap();
    assert_eq!(
        (skip.reason.as_str(), skip.count, skip.examples[0].as_str()),
        ("a file that no message names", 1, "other/IMG-1.jpg")
    );
    assert_eq!(found.report.counts(Kind::Attachments).found, 2);
}

#[test]
fn several_chats_in_one_zip_are_refused_with_a_hint() {
    let chat = b"13/06/2018, 21:25 - Ana: hi\n";
    let zip = zip_of(&[
        ("WhatsApp Chat with Ana.txt", chat),
        ("WhatsApp Chat with Bob.txt", chat),
    ]);
    let error = TextExport::from_bytes("x.zip", zip.clone(), TextOptions::default()).unwrap_err();
    assert!(error.hint().unwrap().contains("several"));
    // The one that is called like the zip is the chat; the other is a document of it.
    TextExport::from_bytes("WhatsApp Chat with Bob.zip", zip, TextOptions::default()).unwrap();
}

#[test]
fn files_whose_names_lead_out_are_reported_and_not_read() {
    let zip = zip_of(&[
        ("_chat.txt", b"[13/06/2018, 21:25:15] Ana: hi\n"),
        ("../evil.jpg", b"x"),
    ]);
    let found =
        read_all(&mut TextExport::from_bytes("x.zip", zip, TextOptions::default()).unwrap());
    assert_eq!(
        found.report.skips().next().unwrap().reason,
        "a file whose name leads out of the export"
    );
}

#[test]
fn media_that_the_export_never_had_are_absent_and_nothing_is_left_out() {
    let found = read("13/06/2018, 21:25 - Ana: <Media omitted>\n13/06/2018, 21:25 - Ana: null\n");
    assert_eq!(found.report.counts(Kind::Attachments).absent, 2);
    assert_eq!(found.report.counts(Kind::Attachments).found, 0);
    assert!(!found.report.left_out_something_readable());
    assert!(
        found
            .messages
            .iter()
            .all(|m| m.attachments[0].presence() == Presence::Absent)
    );
}

#[test]
fn who_only_sends_media_keeps_their_name_and_their_media() {
    let names: Vec<String> = (10..22)
        .map(|minute| format!("000000{minute}-PHOTO-2022-03-13-10-{minute}-30.jpg"))
        .collect();
    let notice =
        "[13/03/2022, 09:00:00] Family: \u{200E}Messages and calls are end-to-end encrypted.\r\n"
            .to_owned();
    let media = names.iter().enumerate().map(|(second, name)| {
        format!("\u{200E}[13/03/2022, 10:10:{second:02}] Grandma: \u{200E}<attached: {name}>\r\n")
    });
    let lines: String = std::iter::once(notice).chain(media).collect();
    let mut files: Vec<(&str, &[u8])> = vec![("_chat.txt", lines.as_bytes())];
    files.extend(names.iter().map(|name| (name.as_str(), &b"picture"[..])));
    let zip = zip_of(&files);
    let mut export =
        TextExport::from_bytes("WhatsApp Chat - Family.zip", zip, TextOptions::default()).unwrap();
    let found = read_all(&mut export);
    assert_eq!(found.report.counts(Kind::Attachments).taken, 12);
    assert_eq!(found.report.skips().count(), 0);
    for message in &found.messages[1..] {
        assert_eq!(message.author, "whatsapp-text:Grandma");
        assert_eq!(message.attachments[0].presence(), Presence::Present);
    }
}

#[test]
fn the_same_chat_with_and_without_media_has_the_same_ids() {
    let text = |medium: &str| {
        format!(
            "13/06/2018, 21:25 - Ana: {medium}\nlook\n13/06/2018, 21:25 - Ana: ok\n13/06/2018, 21:25 - Ana: ok\n"
        )
    };
    let with = zip_of(&[
        (
            "WhatsApp Chat with Ana.txt",
            text("\u{200E}IMG-1.jpg (file attached)").as_bytes(),
        ),
        ("IMG-1.jpg", b"x"),
    ]);
    let with =
        read_all(&mut TextExport::from_bytes("x.zip", with, TextOptions::default()).unwrap());
    let without = read(&text("<Media omitted>"));
    let ids = |found: &Collected| {
        found
            .messages
            .iter()
            .map(|m| m.id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&with), ids(&without));
    assert_eq!(with.conversation().id, without.conversation().id);
}

#[test]
fn a_marked_placeholder_of_an_unlisted_language_is_learned_from_its_repetition() {
    let line = "13/06/2018, 21:25 - Ana: \u{200E}<Mzungumzo yameachwa>\n";
    let found = read(&line.repeat(3));
    assert!(
        found
            .messages
            .iter()
            .all(|m| m.kind() == MessageKind::Media)
    );
    assert_eq!(found.report.notes().count(), 0);
    assert_eq!(read(line).messages[0].kind(), MessageKind::Text);
}

#[test]
fn what_people_write_in_angles_again_and_again_stays_and_is_said() {
    let bodies = [
        "Dinner at eight <Sent from my iPhone>",
        "Bring wine <Sent from my iPhone>",
        "ok <Sent from my iPhone>",
        "<Happy Birthday Mum>",
        "<Happy Birthday Mum>\nand many more",
        "<Happy Birthday Mum>",
        "<Media omitted>",
    ];
    let lines: Vec<String> = bodies
        .iter()
        .map(|body| format!("13/06/2018, 21:25 - Ana: {body}\n"))
        .collect();
    let found = read(&lines.concat());
    for (message, body) in found.messages.iter().zip(bodies).take(6) {
        assert_eq!(
            (message.kind(), message.text.as_str(), message.edited),
            (MessageKind::Text, body, false)
        );
    }
    assert_eq!(found.messages[6].kind(), MessageKind::Media);
    let notes: Vec<_> = found.report.notes().collect();
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].0.contains("kept as text") && notes[0].1 == 6,
        "{notes:?}"
    );
}

#[test]
fn titles_kinds_and_people_are_found() {
    let group = read_all(
        &mut TextExport::from_bytes(
            "renamed.zip",
            zip_of(&[(
                "_chat.txt",
                "[13/06/2018, 21:25:15] Family 🏡: \u{200E}Messages and calls are end-to-end encrypted.\r\n[13/06/2018, 21:25:16] ~ Ana: hi\r\n[13/06/2018, 21:25:17] \u{202A}+44 7700 900374\u{202C}: ho\r\n[13/06/2018, 21:25:18] Bob: he\r\n"
                    .as_bytes(),
            )]),
            TextOptions::default(),
        )
        .unwrap(),
    );
    assert_eq!(group.conversation().title, "Family 🏡");
    assert_eq!(group.conversation().kind(), ConversationKind::Group);
    assert_eq!(group.messages[0].kind(), MessageKind::System);
    assert_eq!(
        group.conversation().participants,
        [
            "whatsapp-text:+447700900374",
            "whatsapp-text:Ana",
            "whatsapp-text:Bob"
        ]
    );
    let direct = read("13/06/2018, 21:25 - Ana: hi\n13/06/2018, 21:25 - Bob: hi\n");
    assert_eq!(direct.conversation().kind(), ConversationKind::Direct);
    let said = TextOptions {
        title: Some("Mum".to_owned()),
        ..TextOptions::default()
    };
    let said = read_all(
        &mut TextExport::from_bytes("c.txt", b"13/06/2018, 21:25 - Ana: hi\n"[..].into(), said)
            .unwrap(),
    );
    assert_eq!(said.conversation().id, "whatsapp-text:Mum");
}

#[test]
fn an_ios_export_that_begins_with_a_medium_is_of_the_chat_that_its_zip_names() {
    let notice =
        "[13/06/2018, 21:25:15] Family: \u{200E}Messages and calls are end-to-end encrypted.\r\n";
    let rest = "\u{200E}[13/06/2018, 21:25:16] Ben: \u{200E}image omitted\r\n[13/06/2018, 21:25:17] Cleo: nice\r\n";
    let read = |name: &str, text: &str| {
        let zip = zip_of(&[("_chat.txt", text.as_bytes())]);
        read_all(&mut TextExport::from_bytes(name, zip, TextOptions::default()).unwrap())
    };
    let whole = read("WhatsApp Chat - Family.zip", &format!("{notice}{rest}"));
    let cut = read("WhatsApp Chat - Family (1).zip", rest);
    assert_eq!(cut.conversation().title, "Family");
    assert_eq!(cut.conversation().id, whole.conversation().id);
    assert_eq!(cut.messages[0].id, whole.messages[1].id);
    // Where the zip's name says nothing, Ben's private chat is no guess.
    let renamed = read("export.zip", rest);
    assert_eq!(renamed.conversation().title, "export");
    // A sender whose words nobody has a list for does not come before the zip's name.
    let other = "[13/06/2018, 21:25:16] Ben: \u{200E}kvak kvak\r\n";
    let other = read("WhatsApp Chat - Family.zip", other);
    assert_eq!(other.conversation().title, "Family");
}

#[test]
fn a_line_beyond_the_limit_is_cut_and_said() {
    let found = read(&format!(
        "13/06/2018, 21:25 - Ana: {}\n13/06/2018, 21:26 - Ana: next\n",
        "x".repeat(2 * 1024 * 1024)
    ));
    assert_eq!(found.messages.len(), 2);
    assert!(found.messages[0].text.len() <= 1024 * 1024);
    assert_eq!(found.report.notes().count(), 1);
    let found = read(&format!(
        "13/06/2018, 21:25 - Ana: a\n{}",
        format!("{}\n", "x".repeat(1024 * 1024)).repeat(20)
    ));
    assert!(found.messages[0].text.len() <= 16 * 1024 * 1024 && found.report.notes().count() == 1);
}

#[test]
fn detection_knows_zips_folders_and_texts_and_refuses_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let chat = b"13/06/2018, 21:25 - Ana: hi\n";
    std::fs::write(folder.path().join("WhatsApp Chat with Ana.txt"), chat).unwrap();
    std::fs::write(
        folder.path().join("x.zip"),
        zip_of(&[("WhatsApp Chat with Ana.txt", chat)]),
    )
    .unwrap();
    std::fs::write(folder.path().join("photo.jpg"), [0xFF, 0xD8, 0xFF]).unwrap();
    for name in ["", "WhatsApp Chat with Ana.txt", "x.zip"] {
        let mut source = detect::open(&folder.path().join(name), Options::default()).unwrap();
        assert_eq!(source.info().form, "whatsapp-text-export");
        let stamp = source.stamp().unwrap().unwrap();
        assert_eq!(source.stamp().unwrap(), Some(stamp));
        assert_eq!(read_all(source.as_mut()).messages.len(), 1, "{name}");
    }
    let kind = |name: &str| {
        detect::open(&folder.path().join(name), Options::default())
            .err()
            .unwrap()
    };
    assert!(matches!(kind("photo.jpg"), SourceError::NotAChat { .. }));
    assert!(matches!(kind("nothing"), SourceError::Io { .. }));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        detect::open(empty.path(), Options::default())
            .err()
            .unwrap(),
        SourceError::NotAChat { .. }
    ));
}

#[test]
fn a_changed_folder_has_another_stamp() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("_chat.txt");
    std::fs::write(&text, "[13/06/2018, 21:25:15] Ana: hi\n").unwrap();
    let mut source = TextExport::open(folder.path(), TextOptions::default()).unwrap();
    let before = source.stamp().unwrap();
    std::fs::write(
        &text,
        "[13/06/2018, 21:25:15] Ana: hi\n[13/06/2018, 21:26:15] Ana: ho\n",
    )
    .unwrap();
    assert_ne!(before, source.stamp().unwrap());
}

/// Pieces of lines, so that random texts come close to real ones.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "13/06/2018, 21:25 - ",
        "[13/6/18, 9:25:15 PM] ",
        "1/2/03 ",
        "R4/6/13 ",
        "٩:٢٥ م",
        "Ana: ",
        "\u{200E}",
        "<",
        ">",
        "(",
        ")",
        ": ",
        "\n",
        "\r\n",
        "attached",
        "IMG-1.jpg",
        "POLL:",
        "OPTION: a (1 vote)",
        "https://maps.google.com/?q=1,2",
        "null",
        "[",
        "]",
        " - ",
        "\"",
        "“",
        "年",
        ".",
        "h",
        "é",
        "<Media omitted>",
        "This message was deleted",
        "image omitted",
        "2561 BE",
        "99999",
        "\u{FEFF}",
        "~",
    ]);
    prop_oneof![
        3 => prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}

fn read_anything(name: &str, bytes: &[u8]) {
    for date_order in [None, Some(DateOrder::DayFirst)] {
        let options = TextOptions {
            date_order,
            title: None,
        };
        if let Ok(mut export) = TextExport::from_bytes(name, bytes.into(), options) {
            let mut found = Collected::default();
            if let Ok(report) = export.read(&mut found) {
                assert!(report.adds_up());
                assert_eq!(
                    report.counts(Kind::Messages).taken,
                    u64::try_from(found.messages.len()).unwrap()
                );
                let media = export.media();
                for attachment in found
                    .messages
                    .iter()
                    .flat_map(|m| &m.attachments)
                    .filter(|a| a.presence() == Presence::Present)
                {
                    media.stamp(&attachment.source_path).unwrap();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic_and_all_numbers_add_up(text in pieces()) {
        read_anything("c.txt", text.as_bytes());
        read_anything("c.txt", format!("13/06/2018, 21:25 - Ana: {text}").as_bytes());
        read_anything("x.zip", &zip_of(&[("IMG-1.jpg", b"x"), ("_chat.txt", text.as_bytes())]));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut zip = b"PK\x03\x04".to_vec();
        zip.extend(&bytes);
        read_anything("x.zip", &zip);
        read_anything("c.txt", &bytes);
    }

    #[test]
    fn no_flipped_byte_of_a_zip_makes_it_panic(at in 0_usize..400, bit in 0_u8..8) {
        let chat = "13/06/2018, 21:25 - Ana: \u{200E}IMG-1.jpg (file attached)\n".repeat(3);
        let mut zip = zip_of(&[("IMG-1.jpg", b"x"), ("_chat.txt", chat.as_bytes())]).to_vec();
        if let Some(byte) = zip.get_mut(at) {
            *byte ^= 1 << bit;
        }
        read_anything("x.zip", &zip);
    }
}
