//! The messages of `proto/heirloom/keyring.proto`, and their canonical bytes.

mod generated {
    #![expect(unreachable_pub, reason = "generated; nothing of it leaves the crate")]
    #![expect(clippy::pedantic, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/heirloom.keys.v1.rs"));
}

pub(crate) use generated::{
    Device, DeviceProof, DeviceSlot, Event, Header, OlderEpoch, PasskeyBinding, PasswordBinding,
    PrivateSlot, PublicSlot, Sealed,
};
use prost::Message;
use zeroize::{Zeroize, Zeroizing};

/// The schema of a keyring, for publication beside a repository.
pub(crate) const SCHEMA: &str = include_str!("../proto/heirloom/keyring.proto");

/// Decodes, and refuses any spelling but the canonical one.
pub(crate) fn decode<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    (encode(&message).as_slice() == bytes).then_some(message)
}

/// The canonical bytes, in a buffer that is wiped; it is as long as needed from the start, so that
/// growing leaves no copy behind.
pub(crate) fn encode<M: Message>(message: &M) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(message.encoded_len()));
    message
        .encode(&mut *bytes)
        .expect("the buffer is as long as the message");
    bytes
}

impl Drop for OlderEpoch {
    fn drop(&mut self) {
        self.root.zeroize();
    }
}

impl Drop for PrivateSlot {
    fn drop(&mut self) {
        self.auth_psk.zeroize();
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.chunk_id_key.zeroize();
    }
}
