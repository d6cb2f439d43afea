//! Frames read from a stream, one at a time.

use std::io::{self, BufRead, Read};

use crate::frames::{FrameError, MAX_RECORD_BYTES};

/// Reads framed records one by one; holds one record in memory.
#[derive(Debug)]
pub struct FrameReader<R> {
    read: R,
    record: Vec<u8>,
    consumed: u64,
}

impl<R: BufRead> FrameReader<R> {
    /// Begins at the reader's place.
    pub fn new(read: R) -> Self {
        Self {
            read,
            record: Vec::new(),
            consumed: 0,
        }
    }

    /// How many bytes were read, whole records only.
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The next record's bytes; `None` at the end. Damage is an [`io::ErrorKind::InvalidData`].
    pub fn next_record(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(len) = self.next_len()? else {
            return Ok(None);
        };
        self.record.clear();
        // Grows with what is there, not with what a length promises.
        let got = (&mut self.read).take(len).read_to_end(&mut self.record)?;
        if u64::try_from(got).is_ok_and(|got| got == len) {
            self.consumed += len;
            Ok(Some(&self.record))
        } else {
            Err(damage(FrameError::Cut))
        }
    }

    /// The next record, decoded.
    pub fn next_decoded<M: prost::Message + Default>(&mut self) -> io::Result<Option<M>> {
        self.next_record()?
            .map(|record| crate::frames::decode(record).map_err(damage))
            .transpose()
    }

    fn next_len(&mut self) -> io::Result<Option<u64>> {
        let mut len = 0_u64;
        // Four varint bytes hold every length up to the limit of 16 MiB.
        for shift in [0, 7, 14, 21] {
            let mut byte = [0];
            if self.read.read(&mut byte)? == 0 {
                return if shift == 0 {
                    Ok(None)
                } else {
                    Err(damage(FrameError::Cut))
                };
            }
            self.consumed += 1;
            len |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                let fits = usize::try_from(len).is_ok_and(|len| len <= MAX_RECORD_BYTES);
                return if fits {
                    Ok(Some(len))
                } else {
                    Err(damage(FrameError::TooLong))
                };
            }
        }
        Err(damage(FrameError::TooLong))
    }
}

fn damage(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = FrameReader::new(&bytes[..]);
            while let Ok(Some(_)) = reader.next_decoded::<Message>() {}
        }

        #[test]
        fn a_stream_gives_what_the_slice_gives(texts in proptest::collection::vec(".{0,400}", 0..10), cut in 0_usize..40) {
            let mut bytes = Vec::new();
            for text in texts {
                crate::frames::push(&Message { text, ..Message::default() }, &mut bytes);
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            let mut reader = FrameReader::new(&bytes[..]);
            let mut read = Vec::new();
            let end = loop {
                match reader.next_decoded::<Message>() {
                    Ok(Some(message)) => read.push(message),
                    end => break end.is_ok(),
                }
            };
            let sliced: Vec<_> = crate::frames::split(&bytes).collect();
            prop_assert_eq!(end, sliced.iter().all(Result::is_ok));
            prop_assert_eq!(read.len(), sliced.iter().filter(|frame| frame.is_ok()).count());
        }
    }

    #[test]
    fn a_promised_length_allocates_nothing() {
        let mut reader = FrameReader::new(&[0xff, 0xff, 0xff, 0x07][..]);
        assert_eq!(
            reader.next_record().unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let mut reader = FrameReader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f][..]);
        assert!(
            reader
                .next_record()
                .unwrap_err()
                .to_string()
                .contains("longer than the format allows")
        );
    }
}
