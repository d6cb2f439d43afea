//! Exported chats made up from a seed, as WhatsApp writes them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use jiff::civil::DateTime;

use super::chance::Chance;

const WORDS: &[&str] = &[
    "yes",
    "no",
    "ok",
    "tomorrow",
    "the train",
    "Größe",
    "naïve",
    "東京",
    "👍🏽",
    "❤️",
    "שלום",
    "مرحبا",
    "\u{200e}marked",
    "a: b",
    "12:30",
    "<tag>",
    "& so",
    "\"quoted\"",
    "back\\slash",
    "*bold*",
    "https://example.org/x?y=1",
    "\t",
    "3 - 2",
    "[x]",
    "e\u{301}",
];
const PEOPLE: &[&str] = &[
    "Ana",
    "Bruno Müller",
    "+49 151 00000000",
    "陳",
    "Mum ❤️",
    "O'Neil",
];

/// Some words; sometimes on several lines, sometimes very many.
pub fn words(chance: &mut Chance) -> String {
    let many = if chance.once_in(60) { 3_000 } else { 12 };
    // The mark that words of WhatsApp's own begin with is never the first.
    let mut text = (*chance.one_of(&["So ", "מה ", "🙂 ", "1 "])).to_owned();
    for _ in 0..=chance.below(many) {
        text.push_str(chance.one_of::<&str>(WORDS));
        text.push_str(if chance.once_in(25) { "\nand " } else { " " });
    }
    text.push('.');
    text
}

/// How the lines of an exported chat begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Android,
    American,
    Ios,
    German,
}

pub const STYLES: &[Style] = &[Style::Android, Style::American, Style::Ios, Style::German];

impl Style {
    fn head(self, at: DateTime, who: &str) -> String {
        let time = match self {
            Self::Android => "%d/%m/%Y, %H:%M - ",
            Self::American => "%-m/%-d/%y, %-I:%M\u{202f}%p - ",
            Self::Ios => "[%d.%m.%y, %H:%M:%S] ",
            Self::German => "%d.%m.%y, %H:%M - ",
        };
        format!("{}{who}: ", at.strftime(time))
    }

    fn attached(self, name: &str) -> String {
        match self {
            Self::Android => format!("\u{200e}{name} (file attached)"),
            Self::American => format!("{name} (file attached)"),
            Self::Ios => format!("\u{200e}<attached: {name}>"),
            Self::German => format!("\u{200e}{name} (Datei angehängt)"),
        }
    }
}

/// An exported chat.
#[derive(Debug, Clone)]
pub struct Export {
    pub title: String,
    /// What each message looks like in the text, and the file that belongs to it.
    pub messages: Vec<(String, Option<String>)>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Export {
    /// `media` files of about `bytes` each among `messages` messages.
    pub fn new(
        chance: &mut Chance,
        style: Style,
        messages: usize,
        media: usize,
        bytes: usize,
    ) -> Self {
        let mut export = Self {
            title: "Sea".to_owned(),
            messages: Vec::new(),
            files: BTreeMap::new(),
        };
        // The thirteenth, so that the order of day and month shows.
        let mut at: DateTime = "2023-05-13T08:00:00".parse().unwrap();
        for number in 0..messages {
            at = at
                .checked_add(
                    jiff::Span::new().seconds(1 + i64::try_from(chance.below(9_000)).unwrap()),
                )
                .unwrap();
            let head = style.head(at, chance.one_of::<&str>(PEOPLE));
            let is_medium = media > 0 && number % messages.div_ceil(media) == 0;
            let (text, file) = if is_medium {
                let name = format!("IMG-20230513-WA{number:04}.jpg");
                let size = bytes / 2 + chance.index(bytes + 1);
                // Some are forwarded copies under another name.
                let content = if chance.once_in(6) && !export.files.is_empty() {
                    let known: Vec<&Vec<u8>> = export.files.values().collect();
                    (*chance.one_of(&known)).clone()
                } else {
                    chance.bytes(size)
                };
                export.files.insert(name.clone(), content);
                (style.attached(&name), Some(name))
            } else {
                (words(chance), None)
            };
            export.messages.push((format!("{head}{text}\n"), file));
        }
        export
    }

    /// The part of it with these messages.
    pub fn part(&self, range: std::ops::Range<usize>) -> Self {
        let messages = self.messages[range].to_vec();
        let files = messages
            .iter()
            .filter_map(|(_, file)| file.as_ref())
            .map(|name| (name.clone(), self.files[name].clone()))
            .collect();
        Self {
            title: self.title.clone(),
            messages,
            files,
        }
    }

    /// Writes it as a folder.
    pub fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        let text: String = self
            .messages
            .iter()
            .map(|(text, _)| text.as_str())
            .collect();
        let name = format!("WhatsApp Chat with {}.txt", self.title);
        fs::write(folder.join(name), text).unwrap();
        for (name, bytes) in &self.files {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }

    /// Writes it as a zip.
    pub fn write_zip(&self, path: &Path) {
        let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        let text: String = self
            .messages
            .iter()
            .map(|(text, _)| text.as_str())
            .collect();
        let name = format!("WhatsApp Chat with {}.txt", self.title);
        zip.start_file(name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
        for (name, bytes) in &self.files {
            zip.start_file(name.as_str(), options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }
}
