//! The two passes: is the file whole and of this key, and what does it hold?

use std::io::{self, Read, Seek, SeekFrom, Write};

use ctr::Ctr32BE;
use flate2::read::ZlibDecoder;
use heirloom_archive::SourceError;
use md5::{Digest, Md5};
use secrecy::ExposeSecret;

use super::gcm::{Check, Gcm, apply};
use super::header::{HEADER_MAX_BYTES, Header, Version};
use super::key::WaKey;

const TAG_BYTES: u64 = 16;
const MD5_BYTES: u64 = 16;
/// The last digits of the phone number at the end of a crypt12 file: "--67".
const DIGITS_BYTES: u64 = 4;
/// All that may follow the ciphertext.
const TAIL_MAX_BYTES: u64 = TAG_BYTES + MD5_BYTES + DIGITS_BYTES;
/// The key stream of AES-GCM ends here.
const CIPHERTEXT_MAX_BYTES: u64 = (1 << 36) - 32;
/// No database is larger; a file that inflates to more is an attack.
const PLAINTEXT_MAX_BYTES: u64 = 1 << 38;
const BUFFER_BYTES: usize = 64 * 1024;

/// An encrypted file that was found whole and of the key at hand.
pub struct Plaintext {
    header: Header,
    gcm: Gcm,
    tag_at: u64,
    tag: Vec<u8>,
}

impl std::fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plaintext")
            .field("header", &self.header)
            .field("tag_at", &self.tag_at)
            .finish_non_exhaustive()
    }
}

/// Checks and decrypts `file` into `out`; returns the bytes written. `name` stands in errors.
///
/// Nothing is written before the tag was found right. Should the file change between the passes, the error
/// comes after something was written: throw `out` away on every error.
pub fn decrypt<R: Read + Seek>(
    file: &mut R,
    name: &str,
    key: &WaKey,
    out: &mut dyn Write,
) -> Result<u64, SourceError> {
    verify(file, name, key)?.write(file, name, out)
}

/// The first pass: reads the whole file in bounded memory, and tells a wrong key from a damaged file.
pub fn verify<R: Read + Seek>(
    file: &mut R,
    name: &str,
    key: &WaKey,
) -> Result<Plaintext, SourceError> {
    let damaged = |why: &str| SourceError::Damaged {
        file: name.to_owned(),
        why: why.to_owned(),
    };
    let at = |source| SourceError::Io {
        path: name.to_owned(),
        source,
    };
    let len = file.seek(SeekFrom::End(0)).map_err(at)?;
    file.rewind().map_err(at)?;
    let mut start = Vec::new();
    file.by_ref()
        .take(u64::try_from(HEADER_MAX_BYTES).unwrap_or(u64::MAX))
        .read_to_end(&mut start)
        .map_err(at)?;
    let header = Header::parse(&start).map_err(damaged)?;
    let body_at = u64::try_from(header.bytes).unwrap_or(u64::MAX);
    if len < body_at.saturating_add(TAG_BYTES) {
        return Err(damaged("it ends before its tag"));
    }
    if len - body_at > CIPHERTEXT_MAX_BYTES {
        return Err(SourceError::Unsupported {
            file: name.to_owned(),
            what: "more than 64 GiB of ciphertext".to_owned(),
        });
    }

    // The IV is the file's own, so that even a key of another kind gives a verdict, "wrong".
    let aes_key = key.aes_key();
    let gcm = Gcm::new(aes_key.expose_secret(), &header.iv);
    let tail_at = len.saturating_sub(TAIL_MAX_BYTES).max(body_at);
    let mut sum = Md5::new();
    sum.update(&start[..header.bytes]);
    let mut check = gcm.check(b"");
    file.seek(SeekFrom::Start(body_at)).map_err(at)?;
    each_piece(file, tail_at - body_at, &mut |piece| {
        sum.update(piece);
        check.update(piece);
    })
    .map_err(at)?;
    let mut tail = Vec::new();
    file.by_ref()
        .take(TAIL_MAX_BYTES)
        .read_to_end(&mut tail)
        .map_err(at)?;
    if tail_at + u64::try_from(tail.len()).unwrap_or(0) != len {
        return Err(damaged("it changed while it was read"));
    }

    let mut whole = false;
    for layout in layouts(header.version) {
        let Some(ends) = Ends::of(&tail, layout) else {
            continue;
        };
        let sum_fits = layout.has_md5 && ends.md5_fits(&sum, &tail);
        whole |= sum_fits;
        if key.fits(header.key.as_ref()) && ends.tag_fits(&check, &tail) {
            let tag = tail[ends.tag_at..ends.tag_at + 16].to_vec();
            let tag_at = tail_at + u64::try_from(ends.tag_at).unwrap_or(0);
            return Ok(Plaintext {
                header,
                gcm,
                tag_at,
                tag,
            });
        }
    }
    // Right check sum, wrong tag: the bytes are those that were written, so it is the key. Another key's names
    // in the header say the same where there is no check sum.
    if whole || !key.fits(header.key.as_ref()) {
        return Err(SourceError::WrongKey {
            file: name.to_owned(),
        });
    }
    Err(damaged(
        "its check sum does not fit; it was cut or changed on its way (a file that never had a check sum looks \
         the same when the key is wrong)",
    ))
}

impl Plaintext {
    /// The file's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The second pass: decrypts and inflates into `out`.
    ///
    /// Checks the tag once more on the way; on an error, throw `out` away.
    pub fn write<R: Read + Seek>(
        self,
        file: &mut R,
        name: &str,
        out: &mut dyn Write,
    ) -> Result<u64, SourceError> {
        let damaged = |why: &str| SourceError::Damaged {
            file: name.to_owned(),
            why: why.to_owned(),
        };
        let at = |source| SourceError::Io {
            path: name.to_owned(),
            source,
        };
        let Self {
            header,
            gcm,
            tag_at,
            tag,
        } = self;
        let body_at = u64::try_from(header.bytes).unwrap_or(u64::MAX);
        file.seek(SeekFrom::Start(body_at)).map_err(at)?;
        let check = gcm.check(b"");
        let mut body = Decrypted {
            from: file.take(tag_at - body_at),
            check,
            stream: gcm.into_stream(),
        };
        let mut magic = [0; 2];
        body.read_exact(&mut magic)
            .map_err(|_| damaged("it holds nothing"))?;
        if magic[0] & 0x0F != 8 {
            return Err(SourceError::Unsupported {
                file: name.to_owned(),
                what: "its content is not a compressed database".to_owned(),
            });
        }
        let mut inflate = ZlibDecoder::new(magic.as_slice().chain(&mut body));
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut written = 0;
        loop {
            let count = inflate
                .read(&mut buffer)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::InvalidInput
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::UnexpectedEof => {
                        damaged("its compressed content cannot be read")
                    }
                    _ => at(error),
                })?;
            if count == 0 {
                break;
            }
            written += u64::try_from(count).unwrap_or(u64::MAX);
            if written > PLAINTEXT_MAX_BYTES {
                return Err(damaged("it inflates without end"));
            }
            out.write_all(&buffer[..count]).map_err(at)?;
        }
        drop(inflate);
        // What follows the end of the zlib stream belongs to the tag all the same.
        io::copy(&mut body, &mut io::sink()).map_err(at)?;
        if !body.check.fits(&tag) {
            return Err(damaged("it changed while it was read"));
        }
        Ok(written)
    }
}

/// One way in which a file may end.
#[derive(Clone, Copy)]
struct Layout {
    has_md5: bool,
    digits: u64,
}

/// The most telling first. Files other than `msgstore` and `wa` have no MD5.
fn layouts(version: Version) -> impl Iterator<Item = Layout> {
    let digits = (version == Version::Crypt12).then_some(Layout {
        has_md5: true,
        digits: DIGITS_BYTES,
    });
    digits.into_iter().chain([
        Layout {
            has_md5: true,
            digits: 0,
        },
        Layout {
            has_md5: false,
            digits: 0,
        },
    ])
}

/// Where tag and MD5 lie inside the tail.
struct Ends {
    tag_at: usize,
    md5_at: usize,
}

impl Ends {
    fn of(tail: &[u8], layout: Layout) -> Option<Self> {
        let md5 = if layout.has_md5 { MD5_BYTES } else { 0 };
        let md5_at = tail
            .len()
            .checked_sub(usize::try_from(md5 + layout.digits).ok()?)?;
        let tag_at = md5_at.checked_sub(usize::try_from(TAG_BYTES).ok()?)?;
        Some(Self { tag_at, md5_at })
    }

    fn md5_fits(&self, before: &Md5, tail: &[u8]) -> bool {
        let mut sum = before.clone();
        sum.update(&tail[..self.md5_at]);
        sum.finalize().as_slice() == &tail[self.md5_at..self.md5_at + 16]
    }

    fn tag_fits(&self, before: &Check, tail: &[u8]) -> bool {
        let mut check = before.clone();
        check.update(&tail[..self.tag_at]);
        check.fits(&tail[self.tag_at..self.tag_at + 16])
    }
}

/// Reads `len` bytes in pieces; fewer only at the end of the file.
fn each_piece(file: &mut dyn Read, len: u64, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut from = file.take(len);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The decrypted bytes of a file, checked while they pass.
struct Decrypted<R> {
    from: R,
    check: Check,
    stream: Ctr32BE<aes::Aes256>,
}

impl<R: Read> Read for Decrypted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.check.update(&buffer[..count]);
        if apply(&mut self.stream, &mut buffer[..count]) {
            Ok(count)
        } else {
            Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the key stream ends here",
            ))
        }
    }
}
