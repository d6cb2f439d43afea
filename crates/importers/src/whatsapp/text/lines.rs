//! Lines of a text of any size, each held in memory up to a limit.

use std::borrow::Cow;
use std::io::{self, BufRead};

/// What is kept of one line. WhatsApp lets nobody write a longer one.
pub(super) const MAX_LINE: usize = 1024 * 1024;

/// A line without its end.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) text: Cow<'a, str>,
    /// Counted from 1.
    pub(super) number: u64,
    /// Whether some of it was beyond [`MAX_LINE`].
    pub(super) cut: bool,
}

/// Reads lines that end with LF or CRLF.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            number: 0,
        }
    }

    /// The next line; `None` at the end. Bytes that are not UTF-8 become U+FFFD.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let mut cut = false;
        let mut any = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            any = true;
            let end = available.iter().position(|byte| *byte == b'\n');
            let piece = &available[..end.unwrap_or(available.len())];
            let room = MAX_LINE.saturating_sub(self.buffer.len()).min(piece.len());
            self.buffer.extend_from_slice(&piece[..room]);
            cut |= room < piece.len();
            let used = piece.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.last() == Some(&b'\r') {
            self.buffer.pop();
        }
        if cut {
            // No half character at the cut.
            while self.buffer.last().is_some_and(|byte| byte & 0xC0 == 0x80) {
                self.buffer.pop();
            }
            self.buffer.pop();
        }
        let bytes = match self.buffer.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) if self.number == 1 => rest,
            _ => &self.buffer,
        };
        Ok(Some(Line {
            text: String::from_utf8_lossy(bytes),
            number: self.number,
            cut,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<String> {
        // A tiny buffer, so that lines cross its end.
        let mut lines = Lines::new(io::BufReader::with_capacity(3, bytes));
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push(line.text.into_owned());
        }
        found
    }

    #[test]
    fn lines_end_with_lf_or_crlf_or_the_file() {
        assert_eq!(
            all(b"\xEF\xBB\xBFone\r\n\ntwo\nthree"),
            ["one", "", "two", "three"]
        );
        assert_eq!(all(b""), [""; 0]);
    }

    #[test]
    fn what_is_no_utf8_is_marked_and_nothing_is_lost() {
        assert_eq!(all(b"a\xFFb\nc"), ["a\u{FFFD}b", "c"]);
    }

    #[test]
    fn a_line_beyond_the_limit_is_cut_at_a_character() {
        let text = format!("{}\nnext", "é".repeat(MAX_LINE));
        let mut lines = Lines::new(text.as_bytes());
        let line = lines.next().unwrap().unwrap();
        assert!(line.cut && line.text.len() <= MAX_LINE && !line.text.contains('\u{FFFD}'));
        assert_eq!(lines.next().unwrap().unwrap().text, "next");
    }
}
