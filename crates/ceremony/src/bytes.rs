//! Bytes with their lengths before them, and bytes as text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Appends `len(bytes)` as 4 bytes (big endian), then `bytes`: no two lists of fields look alike.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("what is hashed here is far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// `fields`, each with its length before it.
pub(crate) fn joined(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        push(&mut out, field);
    }
    out
}

/// As base64url without padding, as in `WebAuthn`'s own JSON.
pub(crate) fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads what [`text`] wrote; `None` for any other spelling, and beyond `most` bytes.
pub(crate) fn read(text: &str, most: usize) -> Option<Vec<u8>> {
    if text.len() > most.saturating_mul(4) / 3 + 4 {
        return None;
    }
    URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .filter(|bytes| bytes.len() <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_from_one_field_to_the_next_changes_the_whole() {
        assert_ne!(joined(&[b"ab", b"c"]), joined(&[b"a", b"bc"]));
        assert_ne!(joined(&[b"", b"a"]), joined(&[b"a", b""]));
        assert_eq!(joined(&[b"ab"]), [0, 0, 0, 2, b'a', b'b']);
    }

    #[test]
    fn only_one_spelling_is_read_and_nothing_too_long() {
        assert_eq!(read("AQI", 2), Some(vec![1, 2]));
        for wrong in ["AQI=", "AQJ", "AQ I", "+/+/"] {
            assert_eq!(read(wrong, 8), None, "{wrong}");
        }
        assert_eq!(read("AQID", 2), None);
    }
}
