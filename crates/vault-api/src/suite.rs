//! The OPAQUE suites: one number says group, hash, key exchange, stretching and its cost.
//!
//! A suite's cost is fixed, so that no server can name a cheaper one; a new cost is a new suite.

use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::{CipherSuite, Ristretto255, TripleDh};

use crate::{Fixed, RecordName};

/// Suite 1: ristretto255, SHA-512, 3DH (RFC 9807), Argon2id.
#[derive(Clone, Copy, Debug)]
pub struct V1;

impl CipherSuite for V1 {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_opaque::Sha512>;
    type Ksf = Argon2<'static>;
}

/// The number of suite 1.
pub const SUITE_1: u16 = 1;
/// What a new record uses.
pub const NEWEST: u16 = SUITE_1;
/// Below it, nothing is answered or sent: a keyring from a hostile store cannot lower it.
pub const FLOOR: u16 = SUITE_1;

/// "t=3 iterations, p=4 lanes, m=2^(16) (64 MiB of RAM)" (RFC 9106, section 4, second recommended option).
pub const MEMORY_KIB: u32 = 64 * 1024;
/// Passes over the memory.
pub const PASSES: u32 = 3;
/// Lanes.
pub const LANES: u32 = 4;

/// A number that is below the floor, or that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("OPAQUE suite {number} is not supported")]
pub struct UnsupportedSuite {
    /// What was asked for.
    pub number: u16,
}

/// Takes a suite's number from outside.
pub fn check(number: u16) -> Result<(), UnsupportedSuite> {
    if number < FLOOR || number > NEWEST {
        return Err(UnsupportedSuite { number });
    }
    Ok(())
}

/// Suite 1's stretching of the password.
pub(crate) fn stretching() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("RFC 9106's second recommended option is valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

const LABEL_CONTEXT: &[u8] = b"heirloom/vault/v1/guess";

/// What both sides of one guess agree on: `label ‖ suite ‖ record ‖ identity ‖ session ‖ commitment`.
///
/// The commitment holds the record's version and the guess's number (see [`crate::Commitment`]).
pub fn context(
    suite: u16,
    record: &RecordName,
    identity: &Fixed<32>,
    session: &Fixed<16>,
    commitment: &Fixed<32>,
) -> Vec<u8> {
    [
        LABEL_CONTEXT,
        &suite.to_be_bytes(),
        record.as_bytes(),
        identity.as_bytes(),
        session.as_bytes(),
        commitment.as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_below_the_floor_or_unknown_is_refused() {
        assert!(check(0).is_err());
        assert!(check(2).is_err());
        assert!(check(u16::MAX).is_err());
        assert!(check(SUITE_1).is_ok());
    }

    #[test]
    fn the_cost_is_rfc_9106s_second_recommended_option() {
        let params = stretching().params().clone();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (65_536, 3, 4)
        );
    }
}
