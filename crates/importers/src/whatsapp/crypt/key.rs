//! The secret that opens an encrypted database.

use heirloom_archive::SourceError;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::header::KeyId;

/// What Java writes before a `byte[]`: stream magic, class description, length.
const JAVA_HEADER_BYTES: usize = 27;
const JAVA_MAGIC: [u8; 4] = [0xAC, 0xED, 0x00, 0x05];
/// The size of WhatsApp's `key` file: a Java `byte[131]`.
const DEVICE_KEY_FILE_BYTES: usize = 158;
/// The size of `encrypted_backup.key`: a Java `byte[32]`.
const ROOT_KEY_FILE_BYTES: usize = 59;
/// A text file larger than this holds more than 64 digits.
const TEXT_MAX_BYTES: usize = 4096;

/// A key of WhatsApp: the `key` file of one phone (crypt12 and crypt14), or the root key that a person keeps as
/// 64 digits (crypt15).
///
/// Neither `Clone` nor `Serialize`, and nothing of it is printed.
pub struct WaKey(Secret);

enum Secret {
    /// The AES key itself, with the names that a file's header repeats.
    Device { id: KeyId, key: SecretBox<[u8; 32]> },
    /// The root key from which the AES key is derived.
    Root(SecretBox<[u8; 32]>),
}

impl WaKey {
    /// Reads a key from the bytes of a file; `name` stands in errors.
    ///
    /// Takes the 158-byte `key` file, the 59-byte `encrypted_backup.key`, and text with 64 hexadecimal digits
    /// in groups of any size, small or capital.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, SourceError> {
        let bad = |why: &str| SourceError::BadKey {
            file: name.to_owned(),
            why: why.to_owned(),
        };
        if bytes.starts_with(&JAVA_MAGIC) {
            return match bytes.len() {
                DEVICE_KEY_FILE_BYTES => {
                    Self::from_device_file(&bytes[JAVA_HEADER_BYTES..]).map_err(bad)
                }
                ROOT_KEY_FILE_BYTES => Ok(Self(Secret::Root(boxed(&bytes[JAVA_HEADER_BYTES..])))),
                _ => Err(bad("it has neither 158 nor 59 bytes; it may be cut")),
            };
        }
        Self::from_text(bytes).map_err(bad)
    }

    /// `0001 ‖ key version ‖ salt 32 ‖ google id 16 ‖ SHA-256(google id) ‖ 16 zero bytes ‖ AES key 32`
    fn from_device_file(body: &[u8]) -> Result<Self, &'static str> {
        let (version, salt, google_id) = (body[2], &body[3..35], &body[35..51]);
        if body[..2] != [0, 1] {
            return Err("its version is unknown");
        }
        if !bool::from(Sha256::digest(google_id).as_slice().ct_eq(&body[51..83])) {
            return Err("its check sum does not fit: the file is damaged");
        }
        let id = KeyId {
            version: vec![version],
            salt: salt.to_vec(),
            google_id: google_id.to_vec(),
        };
        Ok(Self(Secret::Device {
            id,
            key: boxed(&body[99..131]),
        }))
    }

    fn from_text(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > TEXT_MAX_BYTES {
            return Err("it is no key file and no text of 64 digits");
        }
        let text =
            std::str::from_utf8(bytes).map_err(|_| "it is no key file and no text of 64 digits")?;
        let mut digits = Zeroizing::new([0u8; 64]);
        let mut count = 0;
        for character in text.trim_start_matches('\u{FEFF}').chars() {
            if character.is_whitespace() || matches!(character, '-' | ':') {
                continue;
            }
            let digit = character
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok());
            let digit =
                digit.ok_or("it holds a character that is no hexadecimal digit (0-9, a-f)")?;
            *digits.get_mut(count).ok_or("it has more than 64 digits")? = digit;
            count += 1;
        }
        if count != digits.len() {
            return Err("it has fewer than 64 digits");
        }
        let mut key = SecretBox::<[u8; 32]>::default();
        for (byte, pair) in key
            .expose_secret_mut()
            .iter_mut()
            .zip(digits.chunks_exact(2))
        {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(Secret::Root(key)))
    }

    /// Whether a file whose header says `wanted` can be of this key at all; `None` in `wanted` = of a root key.
    pub(super) fn fits(&self, wanted: Option<&KeyId>) -> bool {
        match (&self.0, wanted) {
            (Secret::Device { id, key: _ }, Some(wanted)) => id.fits(wanted),
            (Secret::Root(_), None) => true,
            (Secret::Device { .. }, None) | (Secret::Root(_), Some(_)) => false,
        }
    }

    /// The AES key: a device's key as it is, or
    /// `HMAC-SHA256(key = HMAC-SHA256(key = 32 zero bytes, root), "backup encryption" ‖ 01)`.
    pub(super) fn aes_key(&self) -> SecretBox<[u8; 32]> {
        match &self.0 {
            Secret::Device { id: _, key } => boxed(key.expose_secret()),
            Secret::Root(root) => {
                let inner = Zeroizing::new(hmac(&[0; 32], &[root.expose_secret()]));
                let outer = Zeroizing::new(hmac(&inner, &[b"backup encryption", &[1]]));
                boxed(&*outer)
            }
        }
    }
}

impl std::fmt::Debug for WaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Secret::Device { .. } => "WaKey(device, [REDACTED])",
            Secret::Root(_) => "WaKey(root, [REDACTED])",
        })
    }
}

fn boxed(bytes: &[u8]) -> SecretBox<[u8; 32]> {
    let mut key = SecretBox::<[u8; 32]>::default();
    key.expose_secret_mut().copy_from_slice(bytes);
    key
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "8f3b6a0c5d1e4f7298ab34cd56ef7801a2b3c4d5e6f70819202b3c4d5e6f7a8b";

    fn why(bytes: &[u8]) -> String {
        WaKey::from_bytes(bytes, "my.key").unwrap_err().to_string()
    }

    #[test]
    fn digits_are_read_in_groups_and_capitals() {
        let plain = WaKey::from_bytes(DIGITS.as_bytes(), "k").unwrap().aes_key();
        let mut grouped = String::from("\u{FEFF}");
        for group in DIGITS.to_uppercase().as_bytes().chunks(4) {
            grouped.push_str(std::str::from_utf8(group).unwrap());
            grouped.push_str(" \r\n");
        }
        let grouped = WaKey::from_bytes(grouped.as_bytes(), "k")
            .unwrap()
            .aes_key();
        assert_eq!(plain.expose_secret(), grouped.expose_secret());
    }

    #[test]
    fn a_digit_too_few_or_too_many_is_said() {
        assert_eq!(
            why(&DIGITS.as_bytes()[1..]),
            "my.key is not a WhatsApp key: it has fewer than 64 digits"
        );
        assert!(why(format!("{DIGITS}0").as_bytes()).ends_with("it has more than 64 digits"));
        assert!(why(DIGITS.replace('8', "g").as_bytes()).contains("no hexadecimal digit"));
    }

    #[test]
    fn other_files_are_no_keys() {
        for bytes in [&b""[..], &[0xFF; 158], &[0; 5000], &[0xAC, 0xED, 0, 5]] {
            assert!(why(bytes).starts_with("my.key is not a WhatsApp key: "));
        }
    }

    #[test]
    fn a_damaged_key_file_is_told_by_its_own_check_sum() {
        let mut file = vec![0; DEVICE_KEY_FILE_BYTES];
        file[..4].copy_from_slice(&JAVA_MAGIC);
        file[28] = 1;
        file[62..78].copy_from_slice(&[7; 16]);
        let sum = Sha256::digest([7; 16]);
        file[78..110].copy_from_slice(&sum);
        assert!(WaKey::from_bytes(&file, "key").is_ok());
        file[70] ^= 1;
        assert!(why(&file).contains("damaged"));
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = WaKey::from_bytes(DIGITS.as_bytes(), "k").unwrap();
        assert_eq!(format!("{key:?}"), "WaKey(root, [REDACTED])");
    }
}
