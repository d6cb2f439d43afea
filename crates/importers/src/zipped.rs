//! A zip as a source's files: its directory is read once, its entries are opened again and again.

use std::collections::HashMap;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use heirloom_archive::{MediaFile, MediaStore, Stamp};
use zip::{CompressionMethod, ZipArchive};

/// Entries that a zip may have. A chat with media has some ten thousand at most.
pub const MAX_ENTRIES: u64 = 200_000;

/// Names longer than this are no names of an export.
const MAX_NAME: usize = 1024;

/// Bytes of a zip's directory that are loaded.
const MAX_DIRECTORY: u64 = 64 * 1024 * 1024;

/// Opens the zip's bytes anew, so that several entries can be read side by side.
pub trait Reopen: Send + Sync {
    /// What reads the bytes.
    type Reader: Read + Seek + Send + 'static;

    /// A reader of its own, at the beginning.
    fn reopen(&self) -> io::Result<Self::Reader>;

    /// What tells that the zip did not change; `None` when nothing does.
    fn stamp(&self) -> io::Result<Option<Stamp>>;
}

/// A zip in memory.
#[derive(Debug, Clone)]
pub struct Bytes(pub Arc<[u8]>);

impl Reopen for Bytes {
    type Reader = Cursor<Arc<[u8]>>;

    fn reopen(&self) -> io::Result<Self::Reader> {
        Ok(Cursor::new(Arc::clone(&self.0)))
    }

    fn stamp(&self) -> io::Result<Option<Stamp>> {
        Ok(None)
    }
}

/// A zip on disk.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone)]
pub struct OnDisk(pub std::path::PathBuf);

#[cfg(not(target_arch = "wasm32"))]
impl Reopen for OnDisk {
    type Reader = std::fs::File;

    fn reopen(&self) -> io::Result<Self::Reader> {
        std::fs::File::open(&self.0)
    }

    fn stamp(&self) -> io::Result<Option<Stamp>> {
        Ok(Some(crate::folder::stamp_of(&std::fs::metadata(&self.0)?)))
    }
}

/// A regular file of a zip or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Relative to the root, with "/" between names; never absolute, never with "..".
    pub path: String,
    /// Bytes.
    pub len: u64,
}

/// The entries of a zip as media.
///
/// The directory is held in memory (at most [`MAX_ENTRIES`]), contents are streamed and checked against
/// their CRC and length at the end.
#[derive(Debug)]
pub struct ZipMedia<R> {
    zip: R,
    places: HashMap<String, Place>,
    entries: Vec<FileEntry>,
    refused: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    header: u64,
    packed: u64,
    len: u64,
    crc: u32,
    method: CompressionMethod,
    encrypted: bool,
}

impl<R: Reopen> ZipMedia<R> {
    /// Reads the zip's directory. `InvalidData` means that it is not a zip, or one beyond the limits.
    pub fn open(zip: R) -> io::Result<Self> {
        let mut reader = BufReader::new(zip.reopen()?);
        refuse_too_many(&mut reader)?;
        let archive = ZipArchive::new(reader).map_err(invalid)?;
        if u64::try_from(archive.len()).unwrap_or(u64::MAX) > MAX_ENTRIES {
            return Err(invalid("too many entries"));
        }
        let mut places = HashMap::new();
        let mut entries = Vec::new();
        let mut refused = Vec::new();
        for index in 0..archive.len() {
            let entry = archive.by_index_data(index).map_err(invalid)?;
            if !entry.is_file() {
                continue;
            }
            let name = match entry.name() {
                Ok(name) if is_safe(&name) => name.into_owned(),
                Ok(name) => {
                    refused.push(name.chars().take(200).collect());
                    continue;
                }
                Err(_) => {
                    refused.push(format!("entry {index}"));
                    continue;
                }
            };
            let place = Place {
                header: entry.header_start(),
                packed: entry.compressed_size(),
                len: entry.size(),
                crc: entry.crc32(),
                method: entry.compression(),
                encrypted: entry.encrypted(),
            };
            if places.insert(name.clone(), place).is_none() {
                entries.push(FileEntry {
                    path: name,
                    len: place.len,
                });
            }
        }
        Ok(Self {
            zip,
            places,
            entries,
            refused,
        })
    }

    /// The regular files in it, in the zip's order.
    pub fn entries(&self) -> &[FileEntry] {
        &self.entries
    }

    /// Names that were refused: absolute, or leading out of the zip.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// The zip itself.
    pub fn zip(&self) -> &R {
        &self.zip
    }

    fn place(&self, source_path: &str) -> io::Result<Place> {
        self.places
            .get(source_path)
            .copied()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such entry in the zip"))
    }
}

impl<R: Reopen> MediaStore for ZipMedia<R> {
    fn open(&self, source_path: &str) -> io::Result<MediaFile> {
        let place = self.place(source_path)?;
        if place.encrypted {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the zip's entry is encrypted",
            ));
        }
        let mut reader = self.zip.reopen()?;
        reader.seek(SeekFrom::Start(place.header))?;
        let mut header = [0; 30];
        reader.read_exact(&mut header)?;
        if header[..4] != *b"PK\x03\x04" {
            return Err(invalid("the zip's entry has no header"));
        }
        let after = i64::from(u16::from_le_bytes([header[26], header[27]]))
            + i64::from(u16::from_le_bytes([header[28], header[29]]));
        reader.seek(SeekFrom::Current(after))?;
        let packed = BufReader::with_capacity(64 * 1024, reader.take(place.packed));
        let unpacked: Box<dyn Read + Send> = match place.method {
            CompressionMethod::Stored => Box::new(packed),
            CompressionMethod::Deflated => Box::new(DeflateDecoder::new(packed)),
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "the zip's entry is packed in an unknown way",
                ));
            }
        };
        Ok(MediaFile::Stream(Box::new(Checked {
            inner: unpacked,
            crc: Crc::new(),
            left: place.len,
            want: place.crc,
        })))
    }

    fn stamp(&self, source_path: &str) -> io::Result<Option<Stamp>> {
        let place = self.place(source_path)?;
        Ok(self.zip.stamp()?.map(|zip| Stamp {
            len: place.len,
            ..zip
        }))
    }
}

/// Passes on an entry's bytes and fails at the end when they are not those that were packed.
struct Checked {
    inner: Box<dyn Read + Send>,
    crc: Crc,
    left: u64,
    want: u32,
}

impl Read for Checked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buf)?;
        if count == 0 {
            return if self.left == 0 && self.crc.sum() == self.want {
                Ok(0)
            } else {
                Err(invalid("the zip's entry is damaged"))
            };
        }
        // An entry that unpacks to more than it says is a bomb or damaged.
        self.left = self
            .left
            .checked_sub(u64::try_from(count).unwrap_or(u64::MAX))
            .ok_or_else(|| invalid("the zip's entry is longer than it says"))?;
        self.crc.update(&buf[..count]);
        Ok(count)
    }
}

/// Whether a name stays inside its root on every system.
pub fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.contains(['\0', '\\'])
        && name
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
        && name.as_bytes().get(1) != Some(&b':')
}

/// Looks at the end of the zip before its directory is loaded: a directory of millions of entries would
/// take memory without a limit.
fn refuse_too_many(reader: &mut (impl Read + Seek)) -> io::Result<()> {
    const TAIL: u64 = 66 * 1024;
    let len = reader.seek(SeekFrom::End(0))?;
    let start = len.saturating_sub(TAIL);
    reader.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    reader.take(TAIL).read_to_end(&mut tail)?;
    let starts = |at: usize, mark: &[u8]| tail.get(at..).is_some_and(|rest| rest.starts_with(mark));
    let number = |at: usize, len: usize| -> u64 {
        let bytes = tail.get(at..at + len).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    };
    let ends: Vec<usize> = (0..tail.len())
        .filter(|at| starts(*at, b"PK\x05\x06"))
        .collect();
    let is_64 = ends.iter().any(|at| {
        at.checked_sub(20)
            .is_some_and(|at| starts(at, b"PK\x06\x07"))
    });
    let mut seen_64 = false;
    for at in 0..tail.len() {
        // The record of a zip64 says the true numbers; the plain one stops at 65,535.
        if is_64 && starts(at, b"PK\x06\x06") {
            seen_64 = true;
            if number(at + 32, 8) > MAX_ENTRIES || number(at + 40, 8) > MAX_DIRECTORY {
                return Err(invalid("too many entries"));
            }
        }
    }
    if is_64 && !seen_64 {
        return Err(invalid("an unknown form of zip"));
    }
    if !is_64 && ends.iter().any(|at| number(at + 12, 4) > MAX_DIRECTORY) {
        return Err(invalid("too many entries"));
    }
    reader.seek(SeekFrom::Start(0))?;
    Ok(())
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;

    use super::*;

    fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn read(media: &ZipMedia<Bytes>, name: &str) -> io::Result<Vec<u8>> {
        let MediaFile::Stream(mut stream) = media.open(name)? else {
            panic!("a zip has streams only")
        };
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn entries_are_read_again_and_again() {
        let zip = zip_of(&[("a.txt", b"one one one one one"), ("b/c.jpg", b"two")]);
        let media = ZipMedia::open(Bytes(zip.into())).unwrap();
        for _ in 0..2 {
            assert_eq!(read(&media, "b/c.jpg").unwrap(), b"two");
            assert_eq!(read(&media, "a.txt").unwrap(), b"one one one one one");
        }
        assert_eq!(media.entries().len(), 2);
        assert_eq!(
            read(&media, "x").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_zip_with_bytes_before_it_is_read() {
        let mut zip = b"something before it".to_vec();
        zip.extend(zip_of(&[("a.txt", b"one")]));
        let media = ZipMedia::open(Bytes(zip.into())).unwrap();
        assert_eq!(read(&media, "a.txt").unwrap(), b"one");
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in [
            "/etc/passwd",
            "../a",
            "a/../b",
            "a\\b",
            "",
            "a//b",
            "./a",
            "C:a",
        ] {
            assert!(!is_safe(name), "{name}");
        }
        assert!(is_safe("WhatsApp Chat with Ana.txt"));
        let media =
            ZipMedia::open(Bytes(zip_of(&[("../a.txt", b"x"), ("b.txt", b"y")]).into())).unwrap();
        assert_eq!(media.entries().len(), 1);
        assert_eq!(media.refused(), ["../a.txt"]);
    }

    #[test]
    fn a_flipped_byte_in_an_entry_is_found() {
        let mut zip = zip_of(&[("a.txt", &[7; 4000])]);
        let at = zip.iter().position(|b| *b == b'a').unwrap() + 12;
        zip[at] ^= 0x10;
        let Ok(media) = ZipMedia::open(Bytes(zip.into())) else {
            return;
        };
        read(&media, "a.txt").unwrap_err();
    }

    #[test]
    fn a_directory_beyond_the_limit_is_refused_before_it_is_loaded() {
        let mut zip = zip_of(&[("a.txt", b"one")]);
        let end = zip.len() - 22;
        zip[end + 12..end + 16].copy_from_slice(&0x7FFF_FFFF_u32.to_le_bytes());
        let error = ZipMedia::open(Bytes(zip.into())).unwrap_err();
        assert!(error.to_string().contains("too many entries"));
    }

    #[test]
    fn no_prefix_of_a_zip_is_a_zip() {
        let zip = zip_of(&[("a.txt", b"one")]);
        for cut in 0..zip.len() {
            assert!(
                ZipMedia::open(Bytes(zip[..cut].to_vec().into())).is_err(),
                "{cut}"
            );
        }
    }
}
