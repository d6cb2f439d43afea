//! Buffers that are used again: memory that is fresh from the system costs as much as the copy into it.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;

/// The length of one.
pub(super) const BYTES: usize = 256 << 10;
/// More are not kept.
const MOST: usize = 64;

/// Buffers that nobody uses now. What was in them is a client's ciphertext.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// Reads exactly `length` bytes, at most one buffer's.
    pub(super) fn read(&self, from: &mut impl Read, length: usize) -> io::Result<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = Buffer {
            bytes: kept.unwrap_or_else(|| vec![0; BYTES]),
            length,
            home: self.clone(),
        };
        let place = buffer.bytes.get_mut(..length);
        from.read_exact(place.ok_or(io::ErrorKind::InvalidInput)?)?;
        Ok(Bytes::from_owner(buffer))
    }
}

/// One that is in use, until its bytes are sent.
struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Buffers,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut kept = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(buffers: &Buffers) -> usize {
        buffers.0.lock().unwrap().len()
    }

    #[test]
    fn a_buffer_comes_back_when_the_last_of_its_bytes_are_gone_and_shows_nothing_of_before() {
        let buffers = Buffers::default();
        let long = buffers.read(&mut io::repeat(7), BYTES).unwrap();
        let part = long.slice(5..9);
        drop(long);
        assert_eq!(kept(&buffers), 0);
        drop(part);
        assert_eq!(kept(&buffers), 1);
        let short = buffers.read(&mut [1, 2, 3].as_slice(), 3).unwrap();
        assert_eq!((&short[..], kept(&buffers)), (&[1, 2, 3][..], 0));
    }

    #[test]
    fn what_is_too_short_or_too_long_is_an_error_and_its_buffer_is_kept() {
        let buffers = Buffers::default();
        assert!(buffers.read(&mut [1, 2].as_slice(), 3).is_err());
        assert!(buffers.read(&mut io::repeat(1), BYTES + 1).is_err());
        assert_eq!(kept(&buffers), 1);
    }

    #[test]
    fn no_more_are_kept_than_some() {
        let buffers = Buffers::default();
        let used: Vec<Bytes> = (0..MOST + 9)
            .map(|_| buffers.read(&mut io::repeat(1), 1).unwrap())
            .collect();
        drop(used);
        assert_eq!(kept(&buffers), MOST);
    }
}
