//! What the WhatsApp-like export writes, our own importer reads.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::ops::ControlFlow;
use std::path::Path;

use heirloom_archive::form::{ArchiveReader, ArchiveWriter, AttachmentFile};
use heirloom_archive::report::Kind;
use heirloom_archive::{
    Attachment, Conversation, ConversationRef, Message, MessageKind, Participant, Sink, SinkError,
    Zone,
};
use heirloom_exports::{Filter, whatsapp};
use heirloom_importers::detect;

#[derive(Default)]
struct Taken {
    people: Vec<Participant>,
    messages: Vec<Message>,
}

impl Sink for Taken {
    fn participant(&mut self, participant: Participant) -> Result<(), SinkError> {
        self.people.push(participant);
        Ok(())
    }

    fn conversation(&mut self, _: Conversation) -> Result<ConversationRef, SinkError> {
        Ok(ConversationRef(0))
    }

    fn message(&mut self, _: ConversationRef, message: Message) -> Result<(), SinkError> {
        self.messages.push(message);
        Ok(())
    }
}

fn said(minute: i64, author: &str, text: &str) -> Message {
    Message {
        id: format!("{minute:03}"),
        author: author.into(),
        sent_at: 1_648_042_260_000 + minute * 60_000,
        zone: Zone::Unknown.into(),
        text: text.into(),
        ..Message::default()
    }
}

fn archive(root: &Path, messages: Vec<Message>) -> ArchiveReader {
    let mut writer = ArchiveWriter::create(root, "test", "test").unwrap();
    for name in ["Ana", "Ben"] {
        writer
            .participant(&Participant {
                id: name.to_lowercase(),
                name: name.into(),
                ..Participant::default()
            })
            .unwrap();
    }
    let mut to = writer
        .conversation(&Conversation {
            id: "c".into(),
            title: "Family".into(),
            ..Conversation::default()
        })
        .unwrap();
    for mut message in messages {
        for attachment in &mut message.attachments {
            let path = to.attachment_path(attachment, &[1; 32]);
            path.as_str().clone_into(&mut attachment.path);
            let mut file = AttachmentFile::create(root, &path).unwrap();
            std::io::Write::write_all(&mut file, b"picture").unwrap();
            file.finish().unwrap();
        }
        to.message(message).unwrap();
    }
    let entry = to.finish().unwrap();
    writer.finish(vec![entry]).unwrap();
    ArchiveReader::open(root).unwrap()
}

#[test]
fn our_own_importer_reads_the_text_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut picture = said(3, "ben", "the garden");
    picture.set_kind(MessageKind::Picture);
    picture.attachments.push(Attachment {
        name: "IMG-1.jpg".into(),
        ..Attachment::default()
    });
    let mut gone = said(4, "ana", "");
    gone.set_kind(MessageKind::Deleted);
    let mut system = said(0, "", "Messages and calls are end-to-end encrypted.");
    system.set_kind(MessageKind::System);
    let written = vec![
        system,
        said(1, "ana", "hello"),
        said(2, "ben", "two\nlines\n23/03/2022, 13:40 - Ana: no message"),
        picture,
        gone,
        Message {
            edited: true,
            ..said(5, "ana", "better")
        },
    ];
    let mut history = archive(&dir.path().join("archive"), written.clone());
    let to = dir.path().join("out");
    whatsapp::export(&mut history, &Filter::default(), &to, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();

    let mut source = detect::open(
        &to.join("WhatsApp Chat with Family"),
        detect::Options::default(),
    )
    .unwrap();
    let mut taken = Taken::default();
    let report = source.read(&mut taken).unwrap();
    assert!(
        report.adds_up() && report.skips().count() == 0,
        "{report:?}"
    );
    assert_eq!(report.counts(Kind::Attachments).taken, 1);
    taken.messages.sort_by_key(|message| message.sent_at);
    assert_eq!(taken.messages.len(), written.len());
    for (taken, written) in taken.messages.iter().zip(&written) {
        assert_eq!((taken.sent_at, taken.zone), (written.sent_at, written.zone));
        assert_eq!(taken.kind(), written.kind(), "{taken:?}");
    }
    let text = |index: usize| taken.messages[index].text.as_str();
    assert_eq!(text(1), "hello");
    assert_eq!(text(2), "two\nlines\n|23/03/2022, 13:40 - Ana: no message");
    assert_eq!(text(3), "the garden");
    assert_eq!((text(5), taken.messages[5].edited), ("better", true));
    let mut names: Vec<_> = taken
        .people
        .iter()
        .map(|person| person.name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["Ana", "Ben"]);
}
