//! A text of any size is read in bounded memory. Alone in its program, because it measures the program.
#![cfg(target_os = "linux")]

use std::io::Write;

use heirloom_archive::report::Kind;
use heirloom_archive::{
    Conversation, ConversationRef, Message, Participant, Sink, SinkError, Source,
};
use heirloom_importers::whatsapp::text::{TextExport, TextOptions};

struct DropAll;

impl Sink for DropAll {
    fn participant(&mut self, _: Participant) -> Result<(), SinkError> {
        Ok(())
    }

    fn conversation(&mut self, _: Conversation) -> Result<ConversationRef, SinkError> {
        Ok(ConversationRef(0))
    }

    fn message(&mut self, _: ConversationRef, _: Message) -> Result<(), SinkError> {
        Ok(())
    }
}

/// The most memory that this program ever had, in kilobytes.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .expect("a peak");
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

#[test]
fn a_text_of_sixty_megabytes_takes_no_more_memory_than_a_small_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("WhatsApp Chat with Ana.txt");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    let mut messages = 0_u64;
    for day in 0..2800_u32 {
        let (year, month, date) = (2015 + day / 336, day / 28 % 12 + 1, day % 28 + 1);
        for minute in 0..300_u32 {
            let (hour, minute) = (minute / 60, minute % 60);
            writeln!(file, "{date:02}/{month:02}/{year}, {hour:02}:{minute:02} - Ana {minute}: some words of message {messages} ‎and more")
                .expect("room");
            messages += 1;
        }
    }
    file.flush().expect("room");
    drop(file);
    let bytes = std::fs::metadata(&path).expect("a file").len();
    assert!(bytes > 55_000_000, "{bytes}");
    let before = peak_kib();
    let started = std::time::Instant::now();
    let mut source = TextExport::open(&path, TextOptions::default()).expect("a chat");
    let report = source.read(&mut DropAll).expect("a chat");
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(report.counts(Kind::Messages).taken, messages);
    let grown = peak_kib() - before;
    assert!(
        grown < 40_000,
        "{grown} KiB more than before, in {seconds} s"
    );
}
