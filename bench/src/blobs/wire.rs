//! HTTP as far as it takes, with one buffer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, bail};

use super::Target;

const BUFFER: usize = 256 << 10;
/// What is kept of an answer.
const KEPT: usize = 64 << 10;

/// A connection that stays.
pub(super) struct Wire {
    stream: TcpStream,
    head: String,
    buffer: Vec<u8>,
}

/// How an answer began, and how long it is.
struct Answer {
    status: u16,
    length: u64,
    kept: Vec<u8>,
}

impl Wire {
    pub(super) fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(target.address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            head: target.head.clone(),
            buffer: vec![0; BUFFER],
        })
    }

    fn ask(&mut self, method: &str, path: &str, more: &str, body: &[u8]) -> Result<Answer> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: here\r\n{}{more}content-length: {}\r\n\r\n",
            self.head,
            body.len()
        );
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        let mut filled = 0;
        let ends = loop {
            let read = self
                .stream
                .read(self.buffer.get_mut(filled..).context("a long head")?)?;
            filled += read;
            let came = self.buffer.get(..filled).unwrap_or_default();
            if let Some(ends) = came.windows(4).position(|four| four == b"\r\n\r\n") {
                break ends + 4;
            }
            if read == 0 {
                bail!("{method} {path}: the connection ended");
            }
        };
        let head = String::from_utf8_lossy(self.buffer.get(..ends).unwrap_or_default())
            .to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
            .unwrap_or(0_u64);
        let mut kept = self.buffer.get(ends..filled).unwrap_or_default().to_vec();
        let mut left = length.saturating_sub(u64::try_from(kept.len())?);
        while left > 0 {
            let most = usize::try_from(left)?.min(BUFFER);
            let read = self
                .stream
                .read(self.buffer.get_mut(..most).context("a buffer")?)?;
            if read == 0 {
                bail!("{method} {path}: the answer was cut");
            }
            if kept.len() < KEPT {
                kept.extend_from_slice(self.buffer.get(..read).unwrap_or_default());
            }
            left -= u64::try_from(read)?;
        }
        let answer = Answer {
            status: status.context("a status")?,
            length,
            kept,
        };
        if !(200..300).contains(&answer.status) {
            let said = String::from_utf8_lossy(&answer.kept);
            bail!("{method} {path}: {} {}", answer.status, said.trim());
        }
        Ok(answer)
    }

    pub(super) fn json(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let answer = self.ask(method, path, "content-type: application/json\r\n", body)?;
        Ok(answer.kept)
    }

    pub(super) fn put(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.ask("PUT", path, "", bytes).map(drop)
    }

    /// Sends the bytes of an upload from its beginning on: `times` times `piece`.
    pub(super) fn upload(&mut self, path: &str, piece: &[u8], times: u32) -> Result<()> {
        let length = u64::try_from(piece.len())? * u64::from(times);
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: here\r\n{}upload-offset: 0\r\ncontent-length: {length}\r\n\r\n",
            self.head
        );
        self.stream.write_all(head.as_bytes())?;
        for _ in 0..times {
            self.stream.write_all(piece)?;
        }
        let read = self.stream.read(&mut self.buffer)?;
        let answer = self.buffer.get(..read).unwrap_or_default();
        if !answer.starts_with(b"HTTP/1.1 201") {
            bail!("PATCH {path}: {}", String::from_utf8_lossy(answer));
        }
        // A short answer comes whole, or its rest belongs to nobody: the next request has another connection.
        Ok(())
    }

    /// How many bytes came.
    pub(super) fn get(&mut self, path: &str, range: Option<(u64, u64)>) -> Result<u64> {
        let more = range.map_or(String::new(), |(first, length)| {
            format!("range: bytes={first}-{}\r\n", first + length - 1)
        });
        Ok(self.ask("GET", path, &more, &[])?.length)
    }
}
