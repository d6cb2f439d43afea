//! AES-256-GCM (NIST SP 800-38D) behind one function: aws-lc natively, `RustCrypto` elsewhere.
//!
//! Every key seals under counter nonces that its owner never repeats: keys are derived from a fresh
//! 32-byte salt for each pack or object.

use crate::keys::Key;

/// Bytes of the tag behind every ciphertext.
pub(crate) const TAG_BYTES: usize = 16;

/// The ciphertext, its nonce, its associated data or its key is not what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unauthentic;

fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

#[cfg(feature = "native")]
pub(crate) use native::AeadKey;
#[cfg(not(feature = "native"))]
pub(crate) use portable::AeadKey;

#[cfg(feature = "native")]
mod native {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    use secrecy::ExposeSecret as _;

    use super::{Key, TAG_BYTES, Unauthentic, nonce};

    /// An expanded key.
    pub(crate) struct AeadKey(LessSafeKey);

    impl AeadKey {
        pub(crate) fn new(key: &Key) -> Self {
            let key =
                UnboundKey::new(&AES_256_GCM, key.expose_secret()).expect("AES-256 takes 32 bytes");
            Self(LessSafeKey::new(key))
        }

        /// Seals `data` in place and returns the tag. `counter` must be new under this key.
        pub(crate) fn seal(&self, counter: u64, aad: &[u8], data: &mut [u8]) -> [u8; TAG_BYTES] {
            let nonce = Nonce::assume_unique_for_key(nonce(counter));
            let tag = self
                .0
                .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
                .expect("lengths are far below the limit of the mode");
            let mut bytes = [0; TAG_BYTES];
            bytes.copy_from_slice(tag.as_ref());
            bytes
        }

        /// Opens ciphertext ‖ tag in place and returns the plaintext.
        pub(crate) fn open<'a>(
            &self,
            counter: u64,
            aad: &[u8],
            data: &'a mut [u8],
        ) -> Result<&'a mut [u8], Unauthentic> {
            let nonce = Nonce::assume_unique_for_key(nonce(counter));
            self.0
                .open_in_place(nonce, Aad::from(aad), data)
                .map_err(|_| Unauthentic)
        }
    }
}

#[cfg_attr(feature = "native", cfg(test))]
mod portable {
    use aes_gcm::aead::AeadInOut as _;
    use aes_gcm::{Aes256Gcm, KeyInit as _};

    use secrecy::ExposeSecret as _;

    use super::{Key, TAG_BYTES, Unauthentic, nonce};

    /// An expanded key.
    pub(crate) struct AeadKey(Aes256Gcm);

    impl AeadKey {
        pub(crate) fn new(key: &Key) -> Self {
            Self(Aes256Gcm::new(key.expose_secret().into()))
        }

        /// Seals `data` in place and returns the tag. `counter` must be new under this key.
        pub(crate) fn seal(&self, counter: u64, aad: &[u8], data: &mut [u8]) -> [u8; TAG_BYTES] {
            self.0
                .encrypt_inout_detached(&nonce(counter).into(), aad, data.into())
                .expect("lengths are far below the limit of the mode")
                .into()
        }

        /// Opens ciphertext ‖ tag in place and returns the plaintext.
        pub(crate) fn open<'a>(
            &self,
            counter: u64,
            aad: &[u8],
            data: &'a mut [u8],
        ) -> Result<&'a mut [u8], Unauthentic> {
            let at = data.len().checked_sub(TAG_BYTES).ok_or(Unauthentic)?;
            let (text, tag) = data.split_at_mut(at);
            let tag: [u8; TAG_BYTES] = (&*tag).try_into().map_err(|_| Unauthentic)?;
            self.0
                .decrypt_inout_detached(
                    &nonce(counter).into(),
                    aad,
                    (&mut *text).into(),
                    &tag.into(),
                )
                .map_err(|_| Unauthentic)?;
            Ok(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretBox;

    use super::*;

    #[test]
    fn both_implementations_seal_the_same_bytes_and_open_each_other() {
        let key: Key = SecretBox::new(Box::new([7; 32]));
        let (one, other) = (AeadKey::new(&key), portable::AeadKey::new(&key));
        for len in [0usize, 1, 15, 16, 17, 1000] {
            let mut a = vec![3u8; len];
            let mut b = a.clone();
            let tag = one.seal(5, b"place", &mut a);
            assert_eq!(other.seal(5, b"place", &mut b), tag);
            assert_eq!(a, b);
            a.extend_from_slice(&tag);
            let mut again = a.clone();
            assert_eq!(other.open(5, b"place", &mut a).unwrap(), vec![3u8; len]);
            assert_eq!(one.open(5, b"place", &mut again).unwrap(), vec![3u8; len]);
        }
    }

    #[test]
    fn another_counter_place_or_bit_is_refused() {
        let key: Key = SecretBox::new(Box::new([7; 32]));
        let aead = AeadKey::new(&key);
        let mut sealed = b"hello".to_vec();
        let tag = aead.seal(1, b"here", &mut sealed);
        sealed.extend_from_slice(&tag);
        assert!(aead.open(2, b"here", &mut sealed.clone()).is_err());
        assert!(aead.open(1, b"there", &mut sealed.clone()).is_err());
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(aead.open(1, b"here", &mut flipped).is_err());
            assert!(
                portable::AeadKey::new(&key)
                    .open(1, b"here", &mut sealed[..at].to_vec())
                    .is_err()
            );
        }
    }
}
