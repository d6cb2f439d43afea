//! One way in: what of it lies in the clear, and how a secret opens it. `docs/keyring.md`, section 4.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::committed::{self, Closed, Info, OVERHEAD_BYTES, Secret32};
use crate::ids::{DeviceId, KeyringHash, RepositoryId, SlotId};
use crate::kem::{KeyPair, PublicKey, SEAL_OVERHEAD_BYTES};
use crate::proto;
use crate::recovery::RecoveryKey;
use crate::root::RootKey;
use crate::secret::HighEntropySecret;

const WRAPPED_BYTES: usize = 64 + OVERHEAD_BYTES;
const SEALED_ROOT_BYTES: usize = 32 + SEAL_OVERHEAD_BYTES;
const MAX_CREDENTIAL_ID_BYTES: usize = 1023;
const MAX_RECORD_ID_BYTES: usize = 64;
const MAX_HOST_BYTES: usize = 253;
const MAX_TRANSPORTS: usize = 8;
const MAX_TRANSPORT_BYTES: usize = 32;

/// How a slot is opened, with what a client has to know before it asks.
///
/// It lies in the clear: until the keyring has been unlocked, a store may have written it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// 64 digits on paper.
    RecoveryKey,
    /// A passkey's PRF.
    Passkey(Passkey),
    /// A password, through OPAQUE against a vault.
    Password(Password),
    /// A secret that one enrolled device keeps for itself: its owner let it in, and let it read.
    Device(DeviceId),
}

/// Which passkey, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// The credential ID that the authenticator gave it.
    pub credential_id: Vec<u8>,
    /// The relying party it is bound to.
    pub rp_id: String,
    /// Hints on how to reach the authenticator.
    pub transports: Vec<String>,
}

/// Which record, in which vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    /// The record's random name.
    pub record_id: Vec<u8>,
    /// The vault's address; to be confirmed before a password is sent there.
    pub server: String,
    /// The OPAQUE suite, which has a floor of its own.
    pub opaque_suite: u32,
}

/// Which version of which record, at which vault: what a [`Password`]'s record id consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordRecord {
    /// The record's name at the vault.
    pub name: [u8; 16],
    /// The vault's public identity: an answer that it did not sign is none.
    pub vault: [u8; 32],
    /// The version that this slot opens with: while a password is changed, two slots differ in it alone.
    pub version: u32,
}

impl PasswordRecord {
    /// `record id = name ‖ vault ‖ version`, 52 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self {
            name,
            vault,
            version,
        } = self;
        [name.as_slice(), vault, &version.to_be_bytes()].concat()
    }
}

impl Password {
    /// The record id's parts; `None` when it has another length.
    pub fn record(&self) -> Option<PasswordRecord> {
        let (name, rest) = self.record_id.split_first_chunk::<16>()?;
        let (vault, version) = rest.split_first_chunk::<32>()?;
        Some(PasswordRecord {
            name: *name,
            vault: *vault,
            version: u32::from_be_bytes(version.try_into().ok()?),
        })
    }
}

impl Method {
    /// The number in the format.
    pub(crate) fn number(&self) -> u32 {
        match self {
            Self::RecoveryKey => 1,
            Self::Passkey(_) => 2,
            Self::Password(_) => 3,
            Self::Device(_) => 4,
        }
    }

    /// The two values that a slot key is bound to, besides the slot itself.
    fn bindings(&self) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::RecoveryKey => (Vec::new(), Vec::new()),
            Self::Passkey(Passkey {
                credential_id,
                rp_id,
                transports: _,
            }) => (credential_id.clone(), rp_id.as_bytes().to_vec()),
            Self::Password(Password {
                record_id,
                server,
                opaque_suite,
            }) => (
                record_id.clone(),
                [&opaque_suite.to_be_bytes(), server.as_bytes()].concat(),
            ),
            Self::Device(device) => (device.as_bytes().to_vec(), Vec::new()),
        }
    }

    pub(crate) fn is_within_limits(&self) -> bool {
        let fits = |len: usize, max: usize| (1..=max).contains(&len);
        match self {
            Self::RecoveryKey | Self::Device(_) => true,
            Self::Passkey(Passkey {
                credential_id,
                rp_id,
                transports,
            }) => {
                fits(credential_id.len(), MAX_CREDENTIAL_ID_BYTES)
                    && fits(rp_id.len(), MAX_HOST_BYTES)
                    && transports.len() <= MAX_TRANSPORTS
                    && transports
                        .iter()
                        .all(|transport| fits(transport.len(), MAX_TRANSPORT_BYTES))
            }
            Self::Password(Password {
                record_id,
                server,
                opaque_suite: _,
            }) => fits(record_id.len(), MAX_RECORD_ID_BYTES) && fits(server.len(), MAX_HOST_BYTES),
        }
    }

    /// What stays behind when a slot is removed, so that the credential is never enrolled again.
    /// A recovery key, a password or a device's secret leaves nothing: another one is another secret.
    pub(crate) fn retirement(&self, repository: &RepositoryId) -> Option<[u8; 32]> {
        let Self::Passkey(Passkey {
            credential_id,
            rp_id,
            transports: _,
        }) = self
        else {
            return None;
        };
        let info = Info::new("heirloom/v1/retired")
            .field(repository.as_bytes())
            .field(credential_id)
            .field(rp_id.as_bytes());
        Some(committed::sha256(info.as_bytes()))
    }

    /// The same way in, however it is reached.
    pub(crate) fn is_same_credential(&self, other: &Self) -> bool {
        !matches!(self, Self::RecoveryKey)
            && self.number() == other.number()
            && self.bindings() == other.bindings()
    }
}

/// Where a keyring stands: what every seal in it is bound to.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) repository: RepositoryId,
    pub(crate) number: u64,
    pub(crate) epoch: u32,
    pub(crate) previous: Vec<KeyringHash>,
}

impl Place {
    /// The hashes of the previous keyrings, one behind the other.
    pub(crate) fn previous_bytes(&self) -> Vec<u8> {
        self.previous
            .iter()
            .flat_map(|hash| *hash.as_bytes())
            .collect()
    }
}

/// Lengths of [`KeySlot::to_bytes`] without what the method is bound to.
pub(crate) const SLOT_BYTES: usize = 16 + 32 + WRAPPED_BYTES;

/// The part of a slot that stays the same from one keyring to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySlot {
    id: SlotId,
    method: Method,
    salt: [u8; 32],
    wrapped: Vec<u8>,
}

/// What a slot's own secret gives: the way to the root, not the root.
#[derive(Debug)]
pub(crate) struct SlotSecrets {
    pub(crate) seed: KeyPair,
    pub(crate) auth_psk: Secret32,
}

impl KeySlot {
    /// The slot's id.
    pub fn id(&self) -> SlotId {
        self.id
    }

    /// How it is opened.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Makes a slot that `secret` opens, with a key pair of its own.
    pub(crate) fn generate(
        rng: &mut impl CryptoRng,
        repository: &RepositoryId,
        method: Method,
        secret: &HighEntropySecret,
    ) -> (Self, SlotSecrets) {
        let mut slot = Self {
            id: SlotId::generate(rng),
            method,
            salt: [0; 32],
            wrapped: Vec::new(),
        };
        rng.fill_bytes(&mut slot.salt);
        let secrets = SlotSecrets {
            seed: KeyPair::generate(rng),
            auth_psk: Secret32::generate(rng),
        };
        let plaintext = Zeroizing::new(
            [
                secrets.seed.exposed().as_slice(),
                secrets.auth_psk.exposed(),
            ]
            .concat(),
        );
        slot.wrapped = committed::seal(
            &slot.salt,
            secret.exposed(),
            &slot.info(repository),
            &plaintext,
        );
        (slot, secrets)
    }

    /// `slot key ‖ commitment = HKDF-SHA256(slot salt, secret, "heirloom/v1/slot", repository, slot,
    /// method, credential id, rp id)` opens the slot's seed and `auth_psk`.
    pub(crate) fn open(
        &self,
        repository: &RepositoryId,
        secret: &HighEntropySecret,
    ) -> Result<SlotSecrets, Closed> {
        let plaintext = committed::open(
            &self.salt,
            secret.exposed(),
            &self.info(repository),
            &self.wrapped,
        )?;
        let (seed, auth_psk) = plaintext.split_at_checked(32).ok_or(Closed::Damaged)?;
        Ok(SlotSecrets {
            seed: KeyPair::new(Secret32::from_slice(seed).ok_or(Closed::Damaged)?),
            auth_psk: Secret32::from_slice(auth_psk).ok_or(Closed::Damaged)?,
        })
    }

    /// `id 16 ‖ salt 32 ‖ wrapped 112`: what a device hands to its owner.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [self.id.as_bytes().as_slice(), &self.salt, &self.wrapped].concat()
    }

    /// Reads what [`Self::to_bytes`] gave.
    pub(crate) fn from_bytes(method: Method, bytes: &[u8; SLOT_BYTES]) -> Self {
        let (id, rest) = bytes.split_at(16);
        let (salt, wrapped) = rest.split_at(32);
        Self {
            id: SlotId::from_slice(id).expect("16 bytes"),
            method,
            salt: salt.try_into().expect("32 bytes"),
            wrapped: wrapped.to_vec(),
        }
    }

    pub(crate) fn to_proto(&self, sealed_root: Vec<u8>) -> proto::PublicSlot {
        let mut slot = proto::PublicSlot {
            id: self.id.as_bytes().to_vec(),
            method: self.method.number(),
            salt: self.salt.to_vec(),
            wrapped: self.wrapped.clone(),
            sealed_root,
            passkey: None,
            password: None,
            device: Vec::new(),
        };
        match self.method.clone() {
            Method::RecoveryKey => {}
            Method::Passkey(Passkey {
                credential_id,
                rp_id,
                transports,
            }) => {
                slot.passkey = Some(proto::PasskeyBinding {
                    credential_id,
                    rp_id,
                    transports,
                });
            }
            Method::Password(Password {
                record_id,
                server,
                opaque_suite,
            }) => {
                slot.password = Some(proto::PasswordBinding {
                    record_id,
                    server,
                    opaque_suite,
                });
            }
            Method::Device(device) => slot.device = device.as_bytes().to_vec(),
        }
        slot
    }

    /// The slot and its sealed root, when every length is right.
    pub(crate) fn from_proto(slot: proto::PublicSlot) -> Option<(Self, Vec<u8>)> {
        let proto::PublicSlot {
            id,
            method,
            salt,
            wrapped,
            sealed_root,
            passkey,
            password,
            device,
        } = slot;
        let method = match (method, passkey, password, device.as_slice()) {
            (1, None, None, []) => Method::RecoveryKey,
            (
                2,
                Some(proto::PasskeyBinding {
                    credential_id,
                    rp_id,
                    transports,
                }),
                None,
                [],
            ) => Method::Passkey(Passkey {
                credential_id,
                rp_id,
                transports,
            }),
            (
                3,
                None,
                Some(proto::PasswordBinding {
                    record_id,
                    server,
                    opaque_suite,
                }),
                [],
            ) => Method::Password(Password {
                record_id,
                server,
                opaque_suite,
            }),
            (4, None, None, device) => Method::Device(DeviceId::from_slice(device)?),
            _ => return None,
        };
        if wrapped.len() != WRAPPED_BYTES
            || sealed_root.len() != SEALED_ROOT_BYTES
            || !method.is_within_limits()
        {
            return None;
        }
        let slot = Self {
            id: SlotId::from_slice(&id)?,
            method,
            salt: salt.try_into().ok()?,
            wrapped,
        };
        Some((slot, sealed_root))
    }

    fn info(&self, repository: &RepositoryId) -> Info {
        let (first, second) = self.method.bindings();
        Info::new("heirloom/v1/slot")
            .field(repository.as_bytes())
            .field(self.id.as_bytes())
            .u32(self.method.number())
            .field(&first)
            .field(&second)
    }
}

/// Seals a root to a slot. Only who knows `auth_psk` and the slot's public key, both of which lie
/// nowhere in the clear, can make one that opens.
pub(crate) fn seal_root(
    rng: &mut impl CryptoRng,
    place: &Place,
    slot: &SlotId,
    key: &PublicKey,
    auth_psk: &Secret32,
    root: &RootKey,
) -> Vec<u8> {
    key.seal(
        rng,
        auth_psk.exposed(),
        &root_info(place, slot, key),
        root.exposed(),
    )
}

/// Opens what [`seal_root`] made.
pub(crate) fn open_root(
    place: &Place,
    slot: &SlotId,
    secrets: &SlotSecrets,
    sealed: &[u8],
) -> Result<RootKey, Closed> {
    let info = root_info(place, slot, secrets.seed.public());
    let root = secrets
        .seed
        .open(secrets.auth_psk.exposed(), &info, sealed)?;
    RootKey::from_slice(&root).ok_or(Closed::Damaged)
}

fn root_info(place: &Place, slot: &SlotId, key: &PublicKey) -> Info {
    Info::new("heirloom/v1/root")
        .field(place.repository.as_bytes())
        .field(slot.as_bytes())
        .u64(place.number)
        .u32(place.epoch)
        .field(&place.previous_bytes())
        .field(&key.to_bytes())
}

/// A secret, and the slots it may open.
#[derive(Debug)]
pub struct UnlockSecret {
    secret: HighEntropySecret,
    method: Method,
}

impl UnlockSecret {
    /// A recovery key, which any recovery slot may belong to.
    pub fn recovery_key(key: &RecoveryKey) -> Self {
        Self {
            secret: key.into(),
            method: Method::RecoveryKey,
        }
    }

    /// What one passkey gave; `passkey` as in the slot that it was asked for.
    pub fn passkey(passkey: Passkey, secret: HighEntropySecret) -> Self {
        Self {
            secret,
            method: Method::Passkey(passkey),
        }
    }

    /// What a login with a password gave; `password` as in the slot that it was asked for.
    pub fn password(password: Password, secret: HighEntropySecret) -> Self {
        Self {
            secret,
            method: Method::Password(password),
        }
    }

    /// What a device keeps for its own way in.
    pub(crate) fn device(device: DeviceId, secret: HighEntropySecret) -> Self {
        Self {
            secret,
            method: Method::Device(device),
        }
    }

    /// Which method the secret came from.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns
    /// - `None` when the slot is not ours, so that the next one is tried;
    /// - `Some(Err(_))` when it is ours and did not open;
    /// - `Some(Ok(_))` with what leads to the root.
    pub(crate) fn open(
        &self,
        repository: &RepositoryId,
        slot: &KeySlot,
    ) -> Option<Result<SlotSecrets, Closed>> {
        let (alone, same) = match (&self.method, &slot.method) {
            (Method::RecoveryKey, Method::RecoveryKey) => (false, true),
            (mine, theirs) => (true, mine.is_same_credential(theirs)),
        };
        if !same {
            return None;
        }
        match slot.open(repository, &self.secret) {
            // A recovery key does not know its slot: another key's commitment means "not mine".
            Err(Closed::OtherKey) if !alone => None,
            outcome => Some(outcome),
        }
    }
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(UnlockSecret: Clone, Copy, PartialEq, std::fmt::Display);
