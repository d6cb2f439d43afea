//! What a passkey signs. `docs/ceremony.md`, section 4.

use sha2::{Digest as _, Sha256};

use crate::bytes;

const LABEL: &[u8] = b"heirloom/v1/ceremony/challenge";

/// What one step is bound to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'a> {
    /// The public keys that its answer may be sealed to: X-Wing, then X25519.
    pub(crate) keys: [&'a [u8]; 2],
    pub(crate) nonce: &'a [u8; 32],
    pub(crate) purpose: &'static str,
    pub(crate) repository: &'a [u8; 16],
    /// The step's number, never used twice in a session.
    pub(crate) step: u64,
    pub(crate) prf_input: &'a [u8; 32],
}

impl Bound<'_> {
    /// `SHA-256` over the fields in this order, each with its length before it.
    pub(crate) fn challenge(&self) -> [u8; 32] {
        let Self {
            keys: [x_wing, x25519],
            nonce,
            purpose,
            repository,
            step,
            prf_input,
        } = *self;
        let fields: [&[u8]; 8] = [
            LABEL,
            x_wing,
            x25519,
            nonce,
            purpose.as_bytes(),
            repository,
            &step.to_be_bytes(),
            prf_input,
        ];
        Sha256::digest(bytes::joined(&fields)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound<'static> = Bound {
        keys: [&[1; 1216], &[2; 32]],
        nonce: &[3; 32],
        purpose: "unlock",
        repository: &[4; 16],
        step: 5,
        prf_input: &[6; 32],
    };

    #[test]
    fn every_field_changes_the_challenge() {
        let others = [
            Bound {
                keys: [&[9; 1216], &[2; 32]],
                ..BOUND
            },
            Bound {
                keys: [&[1; 1216], &[9; 32]],
                ..BOUND
            },
            Bound {
                nonce: &[9; 32],
                ..BOUND
            },
            Bound {
                purpose: "check",
                ..BOUND
            },
            Bound {
                repository: &[9; 16],
                ..BOUND
            },
            Bound { step: 6, ..BOUND },
            Bound {
                prf_input: &[9; 32],
                ..BOUND
            },
        ];
        for other in others {
            assert_ne!(other.challenge(), BOUND.challenge(), "{:?}", other.purpose);
        }
    }

    #[test]
    fn the_encoding_is_the_one_on_the_page_of_the_protocol() {
        // Made by the lines of Python in docs/ceremony.md, section 4.
        assert_eq!(
            hex::encode(BOUND.challenge()),
            "3eccdc65ddf8cbae3f8c75fcc5f771c25b61573b55aa2ac049c23da29172ab9e"
        );
    }
}
