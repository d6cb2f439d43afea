use super::*;
use crate::zipped::FileEntry;

fn files() -> Vec<FileEntry> {
    [
        "_chat.txt",
        "IMG-1.jpg",
        "00000035-PHOTO-2022.jpg",
        "00000047-Resume.pdf",
        "Ana.vcf",
        "PTT-1.opus",
    ]
    .map(|path| FileEntry {
        path: path.to_owned(),
        len: 7,
    })
    .to_vec()
}

fn read(body: &str, ios: bool) -> Message {
    let entries = files();
    let names = Names::new(&entries, "_chat.txt");
    let repeated = HashSet::from(["Kvak kvak".to_owned()]);
    message(
        0,
        Some("Ana"),
        body,
        &Context {
            names: &names,
            entries: &entries,
            repeated: &repeated,
            ios,
        },
    )
    .0
}

fn android(body: &str) -> Message {
    read(body, false)
}

fn ios(body: &str) -> Message {
    read(body, true)
}

#[test]
fn android_attachments_have_their_caption_on_the_next_lines() {
    let message = android("\u{200E}IMG-1.jpg (file attached)\nlook\nhere");
    assert_eq!(
        (message.kind(), message.text.as_str()),
        (MessageKind::Picture, "look\nhere")
    );
    assert_eq!(message.attachments[0].source_path, "IMG-1.jpg");
    assert_eq!(message.attachments[0].bytes, 7);
    assert_eq!(message.attachments[0].presence(), Presence::Present);
}

#[test]
fn a_name_that_is_in_the_zip_needs_no_known_word() {
    assert_eq!(android("\u{200E}IMG-1.jpg (zzz qqq)").attachments.len(), 1);
    assert_eq!(
        ios("\u{200E}<zzz: 00000035-PHOTO-2022.jpg>")
            .attachments
            .len(),
        1
    );
    assert_eq!(
        ios("\u{200E}<附件：00000035-PHOTO-2022.jpg>")
            .attachments
            .len(),
        1
    );
    assert_eq!(
        android("\u{200E}IMG-1.jpg（檔案已附加）").attachments.len(),
        1
    );
}

#[test]
fn words_in_brackets_after_a_name_are_text_without_the_mark() {
    assert_eq!(android("IMG-1.jpg (that one!)").kind(), MessageKind::Text);
    assert_eq!(
        ios("I mean <zzz: 00000035-PHOTO-2022.jpg>").kind(),
        MessageKind::Text
    );
    assert_eq!(android("see you (soon)").kind(), MessageKind::Text);
}

#[test]
fn text_may_stand_before_an_ios_attachment() {
    let message = ios("Resume.pdf • \u{200E}2 pages \u{200E}<attached: 00000047-Resume.pdf>");
    assert_eq!(
        (message.kind(), message.text.as_str()),
        (MessageKind::Document, "Resume.pdf • 2 pages")
    );
    assert_eq!(message.attachments[0].media_type, "application/pdf");
    let message = ios("two\nlines \u{200E}<attached: 00000035-PHOTO-2022.jpg>");
    assert_eq!(
        (message.kind(), message.text.as_str()),
        (MessageKind::Picture, "two\nlines")
    );
}

#[test]
fn names_that_are_not_in_the_zip_are_absent() {
    for message in [
        android("\u{200E}IMG-9.jpg (Datei angehängt)\nDir auch frohe Ostern."),
        android("IMG-9.jpg (file attached)"),
        android("< attached: 00000042-PHOTO-2020-06-07-15-13-20.jpg >"),
        android("2015-08-04-PHOTO-00004762.jpg <\u{200E}attached>"),
        ios("\u{200E}<attached: 00000042-PHOTO-2020.jpg>"),
        ios("\u{200E}<pièce jointe : 00000042-PHOTO-2020.jpg>"),
        ios("\u{200E}<kvak: 00000042-PHOTO-2020.jpg>"),
    ] {
        assert_eq!(message.kind(), MessageKind::Picture, "{message:?}");
        assert_eq!(message.attachments[0].presence(), Presence::Absent);
        assert!(
            std::path::Path::new(&message.attachments[0].name)
                .extension()
                .is_some()
        );
    }
}

#[test]
fn omitted_media_are_absent_attachments_in_every_language() {
    for body in [
        "<Media omitted>",
        "<Média vynechány>",
        "<Без медиафайлов>",
        "<Medien ausgeschlossen>",
        "<Media weggelaten>",
        "\u{200E}<Media omitted>",
        "\u{200E}<Kvak kvak>",
    ] {
        let message = android(body);
        assert_eq!(message.kind(), MessageKind::Media, "{body}");
        assert_eq!(
            message.attachments[0].presence(),
            Presence::Absent,
            "{body}"
        );
        assert!(!message.edited && message.text.is_empty(), "{body}");
    }
    for (body, kind) in [
        ("\u{200E}image omitted", MessageKind::Picture),
        ("\u{200E}video omitted", MessageKind::Video),
        ("\u{200E}audio omitted", MessageKind::Audio),
        ("\u{200E}sticker omitted", MessageKind::Sticker),
        ("\u{200E}GIF omitted", MessageKind::Gif),
        ("\u{200E}document omitted", MessageKind::Document),
        ("\u{200E}Contact card omitted", MessageKind::Contact),
        ("\u{200E}Bild weggelassen", MessageKind::Picture),
        ("\u{200E}immagine omessa", MessageKind::Picture),
        ("\u{200E}изображение отсутствует", MessageKind::Picture),
        ("\u{200E}obrázek vynechán", MessageKind::Picture),
        ("\u{200E}sticker weggelaten", MessageKind::Sticker),
        ("\u{200E}vídeo omitido", MessageKind::Video),
        ("\u{200E}image absente", MessageKind::Picture),
    ] {
        assert_eq!(ios(body).kind(), kind, "{body}");
        assert_eq!(ios(body).attachments.len(), 1, "{body}");
    }
    let message = ios("Resume.pdf • \u{200E}2 pages \u{200E}document omitted");
    assert_eq!(
        (message.kind(), message.text.as_str()),
        (MessageKind::Document, "Resume.pdf • 2 pages")
    );
}

#[test]
fn an_export_without_media_gives_the_texts_of_one_with() {
    let with = android("\u{200E}IMG-1.jpg (file attached)\nlook");
    let without = android("<Media omitted>\nlook");
    assert_eq!(with.text, without.text);
}

#[test]
fn text_about_omitted_things_is_text() {
    for body in [
        "image omitted",
        "I omitted the image",
        "<3",
        "<Media>",
        "<html tag>",
    ] {
        assert_eq!(ios(body).kind(), MessageKind::Text, "{body}");
        assert_eq!(android(body).kind(), MessageKind::Text, "{body}");
    }
}

#[test]
fn deleted_messages_are_notices_without_text() {
    for message in [
        android("This message was deleted"),
        android("You deleted this message"),
        ios("\u{200E}This message was deleted."),
        ios("\u{200E}You deleted this message."),
        android("Diese Nachricht wurde gelöscht"),
        android("Данное сообщение удалено"),
        android("Tato zpráva byla odstraněna"),
        ios("\u{200E}此消息已删除"),
    ] {
        assert_eq!(message.kind(), MessageKind::Deleted);
        assert!(
            message.deleted.is_some()
                && message.text.is_empty()
                && message.author == "whatsapp-text:Ana"
        );
    }
    assert_eq!(
        android("This message was deleted, was it?").kind(),
        MessageKind::Text
    );
}

#[test]
fn edited_messages_lose_the_suffix_only() {
    for message in [
        android("hi <This message was edited>"),
        ios("hi \u{200E}<This message was edited>"),
        ios("hi \u{200E}<Kvak kvakavý>"),
        android("hi <Diese Nachricht wurde bearbeitet.>"),
        android("hi \u{200E}<Сообщение изменено>"),
        android("hi \u{200E}<Kvak kvak>"),
    ] {
        assert!(message.edited, "{message:?}");
        assert_eq!(
            (message.kind(), message.text.as_str()),
            (MessageKind::Text, "hi")
        );
    }
    for body in [
        "hi <3>",
        "a <b>",
        "if a < b and c > d",
        "<This message was edited> no",
        "hi <Kvak kvak>",
        "<Kvak kvak>",
        "<Kvak kvak>\nhi",
    ] {
        assert!(!android(body).edited, "{body}");
        assert_eq!(android(body).text, body);
    }
    let message =
        ios("look \u{200E}<attached: 00000035-PHOTO-2022.jpg> \u{200E}<This message was edited>");
    assert!(message.edited && message.attachments.len() == 1 && message.text == "look");
}

#[test]
fn polls_have_a_question_options_and_votes() {
    for message in [
        android("POLL:\nWhere?\nOPTION: Rome (2 votes)\nOPTION: Oslo (1 vote)"),
        ios(
            "\u{200E}POLL:\nWhere?\n\u{200E}OPTION: Rome (\u{200E}2 votes)\n\u{200E}OPTION: Oslo (1 vote)",
        ),
        android("UMFRAGE:\nWhere?\nOPTION: Rome (2 Stimmen)\nOPTION: Oslo (1 Stimme)"),
    ] {
        assert_eq!(message.kind(), MessageKind::Poll);
        let poll = message.poll.unwrap();
        assert_eq!(poll.question, "Where?");
        let options: Vec<_> = poll
            .options
            .iter()
            .map(|o| (o.text.as_str(), o.votes))
            .collect();
        assert_eq!(options, [("Rome", 2), ("Oslo", 1)]);
    }
    for body in [
        "POLL:\nWhere?",
        "POLL:",
        "Shopping:\neggs\nmilk",
        "Note:\nwho?\nBob: me (1 vote)",
        "a:\nb: x (1)\nc: y (2)",
    ] {
        assert_eq!(android(body).kind(), MessageKind::Text, "{body}");
    }
}

#[test]
fn places_are_locations_and_links_in_sentences_are_text() {
    let message = android("location: https://maps.google.com/?q=51.5021456,-0.127397");
    let place = message.location.clone().unwrap();
    assert_eq!(message.kind(), MessageKind::Location);
    assert!(
        (place.latitude - 51.502_145_6).abs() < 1e-9 && (place.longitude + 0.127_397).abs() < 1e-9
    );
    assert_eq!(
        ios("\u{200E}Location: https://maps.google.com/?q=51.5,-0.1").kind(),
        MessageKind::Location
    );
    let place =
        android("Big Ben\nLondon, England\nhttps://foursquare.com/v/4ac518cef964a52019a620e3")
            .location
            .unwrap();
    assert_eq!(
        (place.name.as_str(), place.address.as_str()),
        ("Big Ben", "London, England")
    );
    let place =
        ios("\u{200E}Big Ben (London, England): https://foursquare.com/v/4ac518cef964a52019a620e3")
            .location
            .unwrap();
    assert_eq!(
        (place.name.as_str(), place.address.as_str()),
        ("Big Ben", "London, England")
    );
    for body in [
        "I am here https://maps.google.com/?q=51.5,-0.1",
        "location: https://maps.google.com/?q=here",
        "location: https://maps.google.com/?q=551.5,-0.1",
        "https://foursquare.com/v/1",
        "https://maps.google.com/?q=51.5,-0.1 there",
    ] {
        assert_eq!(android(body).kind(), MessageKind::Text, "{body}");
    }
}

#[test]
fn what_can_be_seen_once_is_null_or_nothing_on_android() {
    for body in ["", "null", " "] {
        let message = android(body);
        assert!(message.view_once && message.text.is_empty(), "{body:?}");
        assert_eq!(message.attachments[0].presence(), Presence::Absent);
    }
    assert!(!ios("null").view_once);
    assert!(!android("null!").view_once);
}

#[test]
fn contact_cards_carry_their_name() {
    let message = android("\u{200E}Ana.vcf (file attached)");
    assert_eq!(
        (message.kind(), message.contacts[0].name.as_str()),
        (MessageKind::Contact, "Ana")
    );
    assert_eq!(message.attachments.len(), 1);
}

#[test]
fn marked_words_on_ios_are_notices_and_calls() {
    let message = ios("\u{200E}Bob added Ana");
    assert_eq!(
        (
            message.kind(),
            message.author.as_str(),
            message.text.as_str()
        ),
        (MessageKind::System, "", "Bob added Ana")
    );
    assert_eq!(message.system.unwrap().participants, ["whatsapp-text:Ana"]);
    let message = ios("\u{200E}Missed voice call");
    assert!(message.kind() == MessageKind::Call && message.call.unwrap().missed);
    assert_eq!(ios("Bob added Ana").kind(), MessageKind::Text);
}

#[test]
fn lines_of_text_stay_as_they_are() {
    for body in [
        "a\nb\n\nc",
        "  indented",
        "ends with a mark\u{200E}",
        "\nstarts with a line",
    ] {
        assert_eq!(android(body).text, body);
    }
}
