//! The messages inside sealed objects, generated from `proto/heirloom/engine.proto`.

#[expect(unreachable_pub, clippy::pedantic, reason = "generated code")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/heirloom.engine.v1.rs"));
}

pub(crate) use generated::*;

use crate::error::Damage;

/// Decodes a message and refuses bytes that a writer would not have made.
pub(crate) fn decode_canonical<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, Damage> {
    let message = M::decode(bytes).map_err(|_| Damage::Malformed)?;
    if message.encode_to_vec() != bytes {
        return Err(Damage::NotCanonical);
    }
    Ok(message)
}
