//! What stands before the ciphertext.

use prost::Message as _;

/// A file whose prefix is longer than this is none of WhatsApp's.
const PREFIX_MAX_BYTES: usize = 16 * 1024;
/// How much of a file [`Header::parse`] wants to see.
pub(super) const HEADER_MAX_BYTES: usize = PREFIX_MAX_BYTES + 10;
const CRYPT12_BYTES: usize = 67;

/// Which of WhatsApp's forms a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A fixed header, and the last digits of the phone number at the end.
    Crypt12,
    /// A protobuf header that names a device's key.
    Crypt14,
    /// A protobuf header; the key is derived from a root key.
    Crypt15,
}

/// The names of a device's key. An empty one is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId {
    /// The key's version.
    pub version: Vec<u8>,
    /// The server's salt.
    pub salt: Vec<u8>,
    /// The account's id.
    pub google_id: Vec<u8>,
}

impl KeyId {
    /// Whether both can mean the same key. Versions are left aside: one file says `1` and another `"1"`.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let same = |a: &[u8], b: &[u8]| a.is_empty() || b.is_empty() || a == b;
        same(&self.salt, &other.salt) && same(&self.google_id, &other.google_id)
    }
}

/// The header of an encrypted database. Anybody can write one: nothing in it is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The form.
    pub version: Version,
    /// The key that the file names; `None` for those of a root key.
    pub key: Option<KeyId>,
    /// The IV of AES-GCM.
    pub iv: [u8; 16],
    /// Where the ciphertext begins.
    pub bytes: usize,
}

impl Header {
    /// Reads the header from the first bytes of a file.
    ///
    /// The error is a sentence for a person.
    pub fn parse(start: &[u8]) -> Result<Self, &'static str> {
        if start.starts_with(&[0, 1]) {
            return Self::crypt12(start);
        }
        let (length, prefix_at) =
            varint(start).ok_or("it does not begin like one of WhatsApp's encrypted files")?;
        if length == 0 || length > PREFIX_MAX_BYTES {
            return Err("it does not begin like one of WhatsApp's encrypted files");
        }
        let prefix = start
            .get(prefix_at..prefix_at + length)
            .ok_or("it ends inside its header")?;
        let BackupPrefix {
            key_type: _,
            c14,
            c15,
        } = BackupPrefix::decode(prefix).map_err(|_| "its header cannot be read")?;
        let (version, key, iv) = match (c15, c14) {
            (Some(C15 { iv }), _) if !iv.is_empty() => (Version::Crypt15, None, iv),
            (
                _,
                Some(C14 {
                    cipher_version: _,
                    key_version,
                    server_salt,
                    google_id,
                    iv,
                }),
            ) => {
                let key = KeyId {
                    version: key_version,
                    salt: server_salt,
                    google_id,
                };
                (Version::Crypt14, Some(key), iv)
            }
            _ => return Err("its header names no cipher"),
        };
        let iv = iv
            .try_into()
            .map_err(|_| "its header has an IV of another length than 16 bytes")?;
        Ok(Self {
            version,
            key,
            iv,
            bytes: prefix_at + length,
        })
    }

    /// `cipher version 2 ‖ key version 1 ‖ salt 32 ‖ google id 16 ‖ IV 16`
    fn crypt12(start: &[u8]) -> Result<Self, &'static str> {
        let header = start
            .get(..CRYPT12_BYTES)
            .ok_or("it ends inside its header")?;
        let key = KeyId {
            version: header[2..3].to_vec(),
            salt: header[3..35].to_vec(),
            google_id: header[35..51].to_vec(),
        };
        let mut iv = [0; 16];
        iv.copy_from_slice(&header[51..]);
        Ok(Self {
            version: Version::Crypt12,
            key: Some(key),
            iv,
            bytes: CRYPT12_BYTES,
        })
    }
}

/// A protobuf varint and its length. Most tools take its two bytes for a length and a "feature flag"; that
/// holds for 128 to 255 only.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

#[derive(Clone, PartialEq, prost::Message)]
struct BackupPrefix {
    #[prost(uint32, tag = "1")]
    key_type: u32,
    #[prost(message, optional, tag = "2")]
    c14: Option<C14>,
    #[prost(message, optional, tag = "3")]
    c15: Option<C15>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct C14 {
    #[prost(bytes = "vec", tag = "1")]
    cipher_version: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    key_version: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    server_salt: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    google_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    iv: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct C15 {
    #[prost(bytes = "vec", tag = "1")]
    iv: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_longer_than_127_bytes_has_a_length_of_two() {
        let c14 = C14 {
            iv: vec![9; 16],
            server_salt: vec![1; 200],
            ..C14::default()
        };
        let prefix = BackupPrefix {
            key_type: 0,
            c14: Some(c14),
            c15: None,
        }
        .encode_length_delimited_to_vec();
        assert!(prefix.len() > 130);
        let header = Header::parse(&prefix).unwrap();
        assert_eq!(
            (header.version, header.iv, header.bytes),
            (Version::Crypt14, [9; 16], prefix.len())
        );
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert!(Header::parse(b"").is_err());
        assert!(Header::parse(&[0xFF; 64]).is_err());
        assert!(Header::parse(&[0; 64]).is_err());
        assert!(Header::parse(&[0, 1, 2]).is_err());
        assert!(Header::parse(b"SQLite format 3\0").is_err());
        assert!(Header::parse(&BackupPrefix::default().encode_length_delimited_to_vec()).is_err());
    }

    #[test]
    fn an_iv_of_another_length_is_refused() {
        let prefix = BackupPrefix {
            key_type: 1,
            c14: None,
            c15: Some(C15 { iv: vec![1; 12] }),
        };
        assert!(Header::parse(&prefix.encode_length_delimited_to_vec()).is_err());
    }
}
