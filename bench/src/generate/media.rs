//! Media files with the right first bytes, and random ones after them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::rng::Rng;

/// What a file is: picture, voice note, video, sticker or document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Picture,
    Voice,
    Video,
    Sticker,
    Document,
}

impl Kind {
    fn draw(rng: &mut Rng) -> (Self, u64) {
        match rng.below(100) {
            0..55 => (Self::Picture, rng.between(60_000, 420_000)),
            55..80 => (Self::Voice, rng.between(6_000, 90_000)),
            80..88 => (Self::Video, rng.between(800_000, 7_000_000)),
            88..96 => (Self::Sticker, rng.between(9_000, 60_000)),
            _ => (Self::Document, rng.between(30_000, 2_000_000)),
        }
    }

    /// `message.message_type`.
    pub(crate) fn message_type(self) -> i64 {
        match self {
            Self::Picture => 1,
            Self::Voice => 2,
            Self::Video => 3,
            Self::Sticker => 20,
            Self::Document => 9,
        }
    }

    pub(crate) fn mime(self) -> &'static str {
        match self {
            Self::Picture => "image/jpeg",
            Self::Voice => "audio/ogg; codecs=opus",
            Self::Video => "video/mp4",
            Self::Sticker => "image/webp",
            Self::Document => "application/pdf",
        }
    }

    fn path(self, at: i64, serial: u64) -> Result<String> {
        let day = Timestamp::from_millisecond(at)?
            .strftime("%Y%m%d")
            .to_string();
        Ok(match self {
            Self::Picture => format!("Media/WhatsApp Images/IMG-{day}-WA{serial:06}.jpg"),
            Self::Voice => format!(
                "Media/WhatsApp Voice Notes/{}/PTT-{day}-WA{serial:06}.opus",
                &day[..6]
            ),
            Self::Video => format!("Media/WhatsApp Video/VID-{day}-WA{serial:06}.mp4"),
            Self::Sticker => format!("Media/WhatsApp Stickers/STK-{day}-WA{serial:06}.webp"),
            Self::Document => format!("Media/WhatsApp Documents/DOC-{day}-WA{serial:06}.pdf"),
        })
    }

    fn magic(self, size: u64) -> Vec<u8> {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        match self {
            Self::Picture => {
                b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00".to_vec()
            }
            Self::Voice => {
                let mut page = b"OggS\x00\x02\0\0\0\0\0\0\0\0HEIR\0\0\0\0\0\0\0\0\x01\x13OpusHead\x01\x01\x38\x01".to_vec();
                page.extend_from_slice(&16_000_u32.to_le_bytes());
                page.extend_from_slice(&[0, 0, 0]);
                page
            }
            Self::Video => {
                let mut boxes = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
                boxes.extend_from_slice(&size.saturating_sub(24).to_be_bytes());
                boxes.extend_from_slice(b"mdat");
                boxes
            }
            Self::Sticker => {
                let mut riff = b"RIFF".to_vec();
                riff.extend_from_slice(&size.saturating_sub(8).to_le_bytes());
                riff.extend_from_slice(b"WEBPVP8 ");
                riff.extend_from_slice(&size.saturating_sub(20).to_le_bytes());
                riff
            }
            Self::Document => b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec(),
        }
    }
}

/// One file that will be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    /// A forwarded copy: the place in the plan of the file that it repeats.
    pub(crate) copy_of: Option<usize>,
}

/// One file that was made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// Below the `WhatsApp` folder, as `message_media.file_path` has it.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    /// Base64 of SHA-256, as `message_media.file_hash` has it.
    pub(crate) hash: String,
}

/// Kinds and sizes of `files` files that add up to `bytes`, `copied` percent of them in forwarded copies.
pub(crate) fn plan(files: u64, bytes: u64, copied: u64, rng: &mut Rng) -> Vec<Planned> {
    let mut plan: Vec<Planned> = Vec::new();
    let (mut all, mut forwarded) = (0_u64, 0_u64);
    for _ in 0..files {
        let original =
            (forwarded * 100 < all * copied && !plan.is_empty()).then(|| rng.index(plan.len()));
        let next = if let Some(at) = original {
            let Planned {
                kind,
                size,
                copy_of,
            } = plan[at];
            Planned {
                kind,
                size,
                copy_of: copy_of.or(Some(at)),
            }
        } else {
            let (kind, size) = Kind::draw(rng);
            Planned {
                kind,
                size,
                copy_of: None,
            }
        };
        all += next.size;
        if next.copy_of.is_some() {
            forwarded += next.size;
        }
        plan.push(next);
    }
    for file in &mut plan {
        let scaled = u128::from(file.size) * u128::from(bytes) / u128::from(all.max(1));
        file.size = u64::try_from(scaled).unwrap_or(file.size).max(64);
    }
    plan
}

/// Makes files below one `WhatsApp` folder.
#[derive(Debug)]
pub(crate) struct Maker<'a> {
    pub(crate) root: &'a Path,
    pub(crate) buffer: Vec<u8>,
}

impl Maker<'_> {
    /// A new file with its own bytes.
    pub(crate) fn make(
        &mut self,
        planned: Planned,
        at: i64,
        serial: u64,
        rng: &mut Rng,
    ) -> Result<Made> {
        let Planned { kind, size, .. } = planned;
        let path = kind.path(at, serial)?;
        let len = usize::try_from(size)?;
        self.buffer.clear();
        self.buffer.extend(kind.magic(size));
        let head = self.buffer.len();
        self.buffer.resize(len.max(head), 0);
        rng.fill(&mut self.buffer[head..]);
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&self.buffer));
        let full = self.target(&path)?;
        let mut file = File::create(&full).with_context(|| format!("create {}", full.display()))?;
        file.write_all(&self.buffer)?;
        set_time(&file, at)?;
        Ok(Made {
            path,
            kind,
            size: u64::try_from(self.buffer.len())?,
            hash,
        })
    }

    /// The same bytes again under another name, as when somebody forwards them.
    pub(crate) fn forward(&mut self, original: &Made, at: i64, serial: u64) -> Result<Made> {
        let path = original.kind.path(at, serial)?;
        let full = self.target(&path)?;
        fs::copy(self.root.join(&original.path), &full)
            .with_context(|| format!("copy to {}", full.display()))?;
        set_time(&File::options().append(true).open(&full)?, at)?;
        Ok(Made {
            path,
            ..original.clone()
        })
    }

    fn target(&self, path: &str) -> Result<std::path::PathBuf> {
        let full = self.root.join(path);
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        Ok(full)
    }
}

fn set_time(file: &File, at: i64) -> Result<()> {
    Ok(file.set_modified(UNIX_EPOCH + Duration::from_millis(at.unsigned_abs()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_the_bytes_and_copies_that_were_asked_for() {
        let plan = plan(2_000, 1_000_000_000, 15, &mut Rng::new(5));
        let all: u64 = plan.iter().map(|p| p.size).sum();
        let copies: u64 = plan
            .iter()
            .filter(|p| p.copy_of.is_some())
            .map(|p| p.size)
            .sum();
        assert_eq!(plan.len(), 2_000);
        assert!((998_000_000..=1_000_200_000).contains(&all), "{all}");
        assert!((13..=17).contains(&(copies * 100 / all)), "{copies}");
    }

    #[test]
    fn a_copy_never_repeats_a_copy() {
        let plan = plan(500, 10_000_000, 40, &mut Rng::new(6));
        for original in plan.iter().filter_map(|p| p.copy_of) {
            assert!(plan[original].copy_of.is_none());
        }
    }
}
