//! What one step asks of the browser, and what came back.

use std::sync::Arc;
use std::time::Duration;

use rand_core::CryptoRng;

use crate::ask::{Enrol, Known};
use crate::error::{BadAnswer, CeremonyError};
use crate::message::{Asserted, Said};
use crate::seal::StepKeys;
use crate::verify::ALGORITHMS;
use crate::view::{Descriptor, Dialog};
use crate::words::Words;

/// What password managers show as the place that the passkey is for.
const RP_NAME: &str = "Chat backup";
const USER_ID_BYTES: usize = 32;

/// What one step asks of the browser.
pub(super) enum Wanted<'a> {
    Create {
        enrol: &'a Enrol<'a>,
        exclude: Vec<Descriptor>,
        /// Windows once failed with values at registration; the second time goes without.
        with_values: bool,
    },
    Get {
        prf_input: &'a [u8; 32],
        allow: Vec<Descriptor>,
    },
}

/// What one step is about.
pub(super) struct Step<'a> {
    pub(super) purpose: &'static str,
    pub(super) of_a_row: Option<&'static str>,
    pub(super) words: Words,
    pub(super) wanted: Wanted<'a>,
}

/// What came back, and what it is held against.
pub(super) struct Heard {
    pub(super) said: Said,
    pub(super) keys: Arc<StepKeys>,
    pub(super) challenge: [u8; 32],
}

/// Those that a page of this relying party can ask.
pub(super) fn here<'a>(known: &'a [Known], rp_id: &str) -> impl Iterator<Item = &'a Known> {
    known.iter().filter(move |known| known.rp_id == rp_id)
}

pub(super) fn asserted(said: &Said, creating: bool) -> Result<&Asserted, CeremonyError> {
    match said {
        Said::Asserted(asserted) => Ok(asserted),
        said => Err(failed(said, creating)),
    }
}

/// What the browser's errors mean. `WebAuthn` Level 3, sections 5.1.3 and 5.1.4.
pub(super) fn failed(said: &Said, creating: bool) -> CeremonyError {
    let name = match said {
        Said::Created(_) | Said::Asserted(_) | Said::SignedIn(_) | Said::Handed(_) => {
            return BadAnswer::Type.into();
        }
        Said::Cancelled => return CeremonyError::Cancelled,
        Said::Lacks(what) => return CeremonyError::OldBrowser(format!("it has no {what}")),
        Said::Failed(name) => name,
    };
    match name.as_str() {
        // "The user may have cancelled, or time ran out, or nothing was found": kept apart by nobody.
        "NotAllowedError" | "AbortError" => CeremonyError::CancelledOrGone,
        "InvalidStateError" if creating => CeremonyError::AlreadyThere,
        // No user verification, or no passkeys, on what was chosen.
        "ConstraintError" => CeremonyError::NotVerified,
        _ => CeremonyError::Refused(name.clone()),
    }
}

pub(super) fn dialog(
    wanted: Wanted<'_>,
    rp_id: &str,
    challenge: &[u8; 32],
    left: Duration,
    rng: &mut impl CryptoRng,
) -> Dialog {
    let challenge = crate::bytes::text(challenge);
    let timeout = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    match wanted {
        Wanted::Create {
            enrol,
            exclude,
            with_values,
        } => {
            // One of its own for each passkey: the same one would overwrite an older passkey.
            let mut user_id = [0; USER_ID_BYTES];
            rng.fill_bytes(&mut user_id);
            Dialog::Create {
                challenge,
                timeout,
                prf_input: with_values.then(|| crate::bytes::text(enrol.prf_input)),
                rp_id: rp_id.to_owned(),
                rp_name: RP_NAME,
                user_id: crate::bytes::text(&user_id),
                user_name: enrol.user_name.to_owned(),
                display_name: enrol.display_name.to_owned(),
                algorithms: ALGORITHMS,
                exclude,
            }
        }
        Wanted::Get { prf_input, allow } => Dialog::Get {
            challenge,
            timeout,
            prf_input: Some(crate::bytes::text(prf_input)),
            rp_id: rp_id.to_owned(),
            allow,
        },
    }
}
