//! The bytes of a keyring object, and its clear part. `docs/keyring.md`, section 1.

use crate::committed::{self, Info, Secret32};
use crate::device::DeviceSlot;
use crate::ids::{DeviceId, KeyringHash, RepositoryId};
use crate::proto;
use crate::slot::{KeySlot, Method, Passkey, Place};

/// The longest keyring object that is read or made: what a store's reader takes (docs/format.md,
/// section 15), so that no change makes a keyring that nobody could fetch.
pub(super) const MAX_KEYRING_BYTES: usize = 4 * 1024 * 1024;
pub(super) const MAX_SLOTS: usize = 32;
pub(super) const MAX_ACTIVE_DEVICES: usize = 64;
/// The highest number, which every JSON reader still counts exactly.
pub(super) const MAX_NUMBER: u64 = 1 << 53;

const MAGIC: &[u8; 8] = b"HLKEYRNG";
const VERSION: u16 = 1;
const PREFIX_BYTES: usize = 8 + 2 + 4;
const MAC_BYTES: usize = 32;

/// Why bytes are no keyring that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The bytes begin with something else.
    #[error("not a keyring")]
    NotAKeyring,
    /// A newer version of Heirloom wrote it. Update, then try again.
    #[error("the keyring is of version {version}, which this program is too old for")]
    TooNew {
        /// The version it names.
        version: u16,
    },
    /// It is longer than any keyring.
    #[error("the keyring is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// It is cut off, or says something that no keyring says.
    #[error("the keyring is damaged: {what}")]
    Malformed {
        /// Which part.
        what: &'static str,
    },
}

/// A keyring as it lies in a store. Nothing in it is to be believed before it has been unlocked.
#[derive(Clone, Debug)]
pub struct LockedKeyring {
    pub(super) place: Place,
    pub(super) hash: KeyringHash,
    pub(super) prf_input: [u8; 32],
    pub(super) sealed_salt: [u8; 32],
    pub(super) slots: Vec<KeySlot>,
    pub(super) sealed_roots: Vec<Vec<u8>>,
    pub(super) devices: Vec<DeviceSlot>,
    pub(super) clear_hash: [u8; 32],
    pub(super) sealed: Vec<u8>,
    pub(super) macs: Vec<[u8; 32]>,
}

impl LockedKeyring {
    /// Reads a keyring object's bytes, whoever wrote them.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyringError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(KeyringError::NotAKeyring)?;
        let (version, rest) = rest.split_first_chunk().ok_or(malformed("cut off"))?;
        match u16::from_be_bytes(*version) {
            VERSION => {}
            0 => return Err(malformed("version")),
            version => return Err(KeyringError::TooNew { version }),
        }
        if bytes.len() > MAX_KEYRING_BYTES {
            return Err(KeyringError::TooLarge {
                limit: MAX_KEYRING_BYTES,
            });
        }
        let (len, rest) = rest.split_first_chunk().ok_or(malformed("cut off"))?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| malformed("header"))?;
        let (header, rest) = rest.split_at_checked(len).ok_or(malformed("cut off"))?;
        let header: proto::Header = proto::decode(header).ok_or(malformed("header"))?;
        let mut keyring = Self::from_header(header).ok_or(malformed("header"))?;

        let mac_bytes = MAC_BYTES * keyring.place.previous.len().max(1);
        let sealed_bytes = rest
            .len()
            .checked_sub(mac_bytes)
            .ok_or(malformed("cut off"))?;
        let (sealed, macs) = rest.split_at(sealed_bytes);
        keyring.sealed = sealed.to_vec();
        keyring.macs = macs.as_chunks::<MAC_BYTES>().0.to_vec();
        keyring.clear_hash = committed::sha256(&bytes[..PREFIX_BYTES + len]);
        keyring.hash = KeyringHash::of(bytes);
        Ok(keyring)
    }

    /// The repository that it claims to belong to.
    pub fn repository(&self) -> RepositoryId {
        self.place.repository
    }

    /// Its number; 1 is the first.
    pub fn number(&self) -> u64 {
        self.place.number
    }

    /// SHA-256 of its bytes, which the next keyring names.
    pub fn hash(&self) -> KeyringHash {
        self.hash
    }

    /// The keyring before it; `None` for the first, and one of two after a merge.
    pub fn previous_hash(&self) -> Option<KeyringHash> {
        self.place.previous.first().copied()
    }

    /// All keyrings before it: none, one, or two after a merge.
    pub fn previous_hashes(&self) -> &[KeyringHash] {
        &self.place.previous
    }

    /// The ways in, without names or dates.
    pub fn slots(&self) -> &[KeySlot] {
        &self.slots
    }

    /// The passkeys among the ways in: what a client may ask for before anything is open. A store may
    /// have written them; only an unlock shows that an owner did.
    pub fn passkeys(&self) -> impl Iterator<Item = &Passkey> {
        self.slots.iter().filter_map(|slot| match slot.method() {
            Method::Passkey(passkey) => Some(passkey),
            Method::RecoveryKey | Method::Password(_) | Method::Device(_) => None,
        })
    }

    /// The devices that have a slot.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.devices.iter().map(DeviceSlot::device)
    }

    /// The input for every passkey's `prf` extension.
    pub fn prf_input(&self) -> &[u8; 32] {
        &self.prf_input
    }

    pub(super) fn sealed_info(&self) -> Info {
        sealed_info(&self.place, &self.clear_hash)
    }

    /// Whether the MAC for the `index`-th keyring before it was made with `key`.
    pub(super) fn succession_is_right(&self, index: usize, key: &Secret32) -> bool {
        let message = succession_message(&self.place, index, &self.clear_hash, &self.sealed);
        self.macs
            .get(index)
            .is_some_and(|mac| committed::mac_is_right(key, &message, mac))
    }

    /// The clear header alone; the rest is filled in by the caller.
    fn from_header(header: proto::Header) -> Option<Self> {
        let proto::Header {
            repository,
            number,
            previous,
            epoch,
            prf_input,
            sealed_salt,
            slots,
            devices,
        } = header;
        let previous = previous
            .iter()
            .map(|hash| KeyringHash::from_slice(hash))
            .collect::<Option<Vec<_>>>()?;
        let follows = match previous.as_slice() {
            [] => number == 1,
            [_] => number > 1,
            [a, b] => number > 1 && a != b,
            _ => false,
        };
        let counts = (1..=MAX_SLOTS).contains(&slots.len()) && devices.len() <= MAX_ACTIVE_DEVICES;
        if !follows || !counts || number > MAX_NUMBER || epoch == 0 {
            return None;
        }
        let place = Place {
            repository: RepositoryId::from_slice(&repository)?,
            number,
            epoch,
            previous,
        };
        let (slots, sealed_roots) = slots
            .into_iter()
            .map(KeySlot::from_proto)
            .collect::<Option<(Vec<_>, Vec<_>)>>()?;
        let devices = devices
            .into_iter()
            .map(DeviceSlot::from_proto)
            .collect::<Option<Vec<_>>>()?;
        let is_unique = is_unique_of(slots.iter().map(KeySlot::id))
            && is_unique_of(devices.iter().map(DeviceSlot::device));
        // A device's own way in goes with the device, and is its only one.
        let owners = || {
            slots.iter().filter_map(|slot| match slot.method() {
                Method::Device(device) => Some(*device),
                Method::RecoveryKey | Method::Passkey(_) | Method::Password(_) => None,
            })
        };
        let is_enrolled = |owner| devices.iter().any(|known| known.device() == owner);
        let is_whole = is_unique && is_unique_of(owners()) && owners().all(is_enrolled);
        is_whole.then_some(Self {
            place,
            hash: KeyringHash::from_bytes([0; 32]),
            prf_input: prf_input.try_into().ok()?,
            sealed_salt: sealed_salt.try_into().ok()?,
            slots,
            sealed_roots,
            devices,
            clear_hash: [0; 32],
            sealed: Vec::new(),
            macs: Vec::new(),
        })
    }
}

/// Everything of a keyring object that is decided before its bytes are.
pub(super) struct Draft<'a> {
    pub(super) place: &'a Place,
    pub(super) prf_input: [u8; 32],
    pub(super) sealed_salt: [u8; 32],
    pub(super) slots: Vec<proto::PublicSlot>,
    pub(super) devices: Vec<proto::DeviceSlot>,
    /// One for each previous keyring, or that of the keyring itself for the first.
    pub(super) succession: &'a [Secret32],
}

impl Draft<'_> {
    /// The object's bytes; `seal` gets what the sealed part is bound to.
    pub(super) fn write(self, seal: impl FnOnce(&[u8; 32], &Info) -> Vec<u8>) -> Vec<u8> {
        let Self {
            place,
            prf_input,
            sealed_salt,
            slots,
            devices,
            succession,
        } = self;
        let header = proto::encode(&proto::Header {
            repository: place.repository.as_bytes().to_vec(),
            number: place.number,
            previous: place
                .previous
                .iter()
                .map(|hash| hash.as_bytes().to_vec())
                .collect(),
            epoch: place.epoch,
            prf_input: prf_input.to_vec(),
            sealed_salt: sealed_salt.to_vec(),
            slots,
            devices,
        });
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + header.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(
            &u32::try_from(header.len())
                .expect("32 slots and 64 devices are short")
                .to_be_bytes(),
        );
        bytes.extend_from_slice(&header);
        let clear_hash = committed::sha256(&bytes);
        let sealed = seal(&sealed_salt, &sealed_info(place, &clear_hash));
        bytes.extend_from_slice(&sealed);
        for (index, key) in succession.iter().enumerate() {
            bytes.extend_from_slice(&committed::mac(
                key,
                &succession_message(place, index, &clear_hash, &sealed),
            ));
        }
        bytes
    }
}

fn sealed_info(place: &Place, clear_hash: &[u8; 32]) -> Info {
    Info::new("heirloom/v1/keyring")
        .field(place.repository.as_bytes())
        .u64(place.number)
        .u32(place.epoch)
        .field(&place.previous_bytes())
        .field(clear_hash)
}

fn succession_message(place: &Place, index: usize, clear_hash: &[u8; 32], sealed: &[u8]) -> Info {
    let previous = place
        .previous
        .get(index)
        .map_or(&[][..], |hash| hash.as_bytes());
    Info::new("heirloom/v1/succession")
        .field(place.repository.as_bytes())
        .u64(place.number)
        .field(previous)
        .field(clear_hash)
        .field(&committed::sha256(sealed))
}

fn malformed(what: &'static str) -> KeyringError {
    KeyringError::Malformed { what }
}

fn is_unique_of<T: Ord>(ids: impl Iterator<Item = T>) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    ids.into_iter().all(|id| seen.insert(id))
}
