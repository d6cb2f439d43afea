//! A folder in archive form (what `restore` writes) as a source.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use heirloom_archive::form::ArchiveReader;
use heirloom_archive::report::Kind;
use heirloom_archive::{
    History, HistoryError, MediaStore, MessageQuery, Presence, Report, Sink, SinkError, Source,
    SourceError, SourceInfo,
};

use crate::detect::ARCHIVE_MARK;
use crate::folder::{self, FolderMedia};

/// A restored archive, which can be backed up again.
#[derive(Debug)]
pub struct ArchiveForm {
    reader: ArchiveReader,
}

impl ArchiveForm {
    /// Opens a complete archive.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let reader =
            ArchiveReader::open(path).map_err(|error| damaged(&path.join(ARCHIVE_MARK), &error))?;
        Ok(Self { reader })
    }
}

impl Source for ArchiveForm {
    fn info(&self) -> SourceInfo {
        let root = self.reader.root();
        let label = root.file_name().map_or_else(
            || root.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        SourceInfo {
            app: "heirloom",
            form: "heirloom-archive",
            label,
        }
    }

    fn read(&mut self, sink: &mut dyn Sink) -> Result<Report, SourceError> {
        let root = self.reader.root().to_owned();
        let broken = |error: HistoryError| damaged(&root, &error);
        let mut report = Report::default();
        for participant in self.reader.participants().map_err(broken)? {
            sink.participant(participant)?;
        }
        for summary in self.reader.conversations().map_err(broken)? {
            let id = summary.conversation.id.clone();
            let handle = sink.conversation(summary.conversation)?;
            report.take(Kind::Conversations);
            let mut refused: Option<SinkError> = None;
            let read = self
                .reader
                .messages(&id, MessageQuery::default(), &mut |mut message| {
                    report.take(Kind::Messages);
                    for attachment in &mut message.attachments {
                        match attachment.presence() {
                            Presence::Present => report.take(Kind::Attachments),
                            Presence::Absent => report.absent(),
                            Presence::Unreadable => {
                                report.skip(
                                    Kind::Attachments,
                                    "could not be read when it was backed up",
                                    false,
                                    &attachment.name,
                                );
                            }
                        }
                        // In this source, the place in the archive is where the bytes are.
                        attachment.source_path = std::mem::take(&mut attachment.path);
                    }
                    Ok(match sink.message(handle, message) {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(error) => {
                            refused = Some(error);
                            ControlFlow::Break(())
                        }
                    })
                });
            if let Some(error) = refused {
                return Err(error.into());
            }
            read.map_err(broken)?;
        }
        Ok(report)
    }

    fn media(&self) -> Arc<dyn MediaStore> {
        Arc::new(FolderMedia::new(self.reader.root()))
    }

    fn stamp(&mut self) -> io::Result<Option<[u8; 32]>> {
        let files = folder::list(self.reader.root())?;
        Ok(Some(folder::digest(
            files
                .iter()
                .map(|file| (file.entry.path.as_str(), file.stamp)),
        )))
    }
}

fn damaged(path: &Path, error: &HistoryError) -> SourceError {
    let why = match &error.source {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    SourceError::Damaged {
        file: path.display().to_string(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use heirloom_archive::canon::{CanonSink, canonical};
    use heirloom_archive::form::{ArchiveWriter, AttachmentFile};
    use heirloom_archive::{Attachment, Conversation, Message, Participant};

    fn archive(root: &Path) {
        let mut writer = ArchiveWriter::create(root, "test", "test").unwrap();
        writer
            .participant(&Participant {
                id: "ana".into(),
                ..Participant::default()
            })
            .unwrap();
        let mut to = writer
            .conversation(&Conversation {
                id: "c".into(),
                ..Conversation::default()
            })
            .unwrap();
        let mut attachment = Attachment {
            name: "a.jpg".into(),
            source_path: "Media/a.jpg".into(),
            ..Attachment::default()
        };
        let path = to.attachment_path(&attachment, &[1; 32]);
        path.as_str().clone_into(&mut attachment.path);
        let mut file = AttachmentFile::create(root, &path).unwrap();
        file.write_all(b"picture").unwrap();
        file.finish().unwrap();
        let absent = Attachment {
            presence: Presence::Absent.into(),
            ..Attachment::default()
        };
        let lost = Attachment {
            presence: Presence::Unreadable.into(),
            name: "b.jpg".into(),
            ..Attachment::default()
        };
        let attachments = vec![attachment, absent, lost];
        to.message(Message {
            id: "m".into(),
            sent_at: 1,
            attachments,
            ..Message::default()
        })
        .unwrap();
        let entry = to.finish().unwrap();
        writer.finish(vec![entry]).unwrap();
    }

    #[test]
    fn an_archive_is_the_same_history_as_source_and_as_archive() {
        let dir = tempfile::tempdir().unwrap();
        archive(dir.path());
        let mut source = ArchiveForm::open(dir.path()).unwrap();
        let mut sink = CanonSink::new(source.media());
        let report = source.read(&mut sink).unwrap();
        assert!(report.adds_up());
        assert_eq!(report.counts(Kind::Messages).taken, 1);
        let counts = report.counts(Kind::Attachments);
        assert_eq!((counts.taken, counts.absent, counts.skipped), (1, 1, 1));
        let mut canon = Vec::new();
        canonical(&mut source.reader, &mut canon).unwrap();
        assert_eq!(sink.finish(), String::from_utf8(canon).unwrap());
    }

    #[test]
    fn the_stamp_changes_with_the_files() {
        let dir = tempfile::tempdir().unwrap();
        archive(dir.path());
        let mut source = ArchiveForm::open(dir.path()).unwrap();
        let before = source.stamp().unwrap();
        assert_eq!(source.stamp().unwrap(), before);
        std::fs::write(dir.path().join("more"), "x").unwrap();
        assert_ne!(source.stamp().unwrap(), before);
    }

    #[test]
    fn an_unfinished_or_damaged_archive_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(ArchiveWriter::create(dir.path(), "test", "test").unwrap());
        assert!(
            ArchiveForm::open(dir.path())
                .unwrap_err()
                .to_string()
                .contains("is unfinished")
        );
        std::fs::write(dir.path().join(ARCHIVE_MARK), "{").unwrap();
        assert!(matches!(
            ArchiveForm::open(dir.path()),
            Err(SourceError::Damaged { .. })
        ));
    }
}
