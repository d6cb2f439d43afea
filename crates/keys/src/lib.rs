//! Who may open a backup: methods, slots, keyring, rotation.
//!
//! ```text
//! method (recovery key │ passkey │ password)
//!   → HighEntropySecret       a password can never become one by itself
//!   → slot key                HKDF-SHA256 with the slot's salt, bound to repository, slot and credential
//!   → slot seed, auth_psk     the slot's own X-Wing key pair, and what shows that an owner sealed to it
//!   → root of an epoch        wraps keys, never content; the newest opens those before it
//!   → reader key pair         who holds it reads what was sealed in that epoch
//!   → run key                 random for each run, sealed to the reader's public key
//! ```
//!
//! No files, no clock, no random source of its own: functions take `&mut impl CryptoRng` and
//! `now_ms`. The bytes are settled in `docs/keyring.md`.
//!
//! **Why public keys are secret here.** X-Wing says nothing about who sealed. A store that knew a
//! slot's public key and `auth_psk` could make a keyring that opens, with a root of its own; so both
//! lie only in the part that is sealed under the root.

mod admission;
mod committed;
mod device;
mod events;
mod freshness;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod ids;
mod kem;
mod keyring;
mod prf;
mod proto;
mod recovery;
mod root;
mod run;
mod secret;
mod slot;
mod status;
#[cfg(any(test, feature = "fuzzing"))]
mod testing;

pub use admission::{Admission, BadAdmission, DeviceWay};
pub use device::{BadDeviceFile, DeviceCredential, WriterCredentials};
pub use events::{Event, EventKind};
pub use freshness::{Freshness, Seen};
pub use ids::{DeviceId, KeyringHash, RepositoryId, SlotId};
pub use keyring::{
    Act, ChangeError, CreateParams, Keyring, KeyringError, LockedKeyring, NewSlot, NotASuccessor,
    OpenError, OpenWithPasskeyError, REMOVAL_DELAY_MS, Successor, Unlocked, log_extends,
    open_with_passkey, verify_successor,
};
pub use prf::{CredRandom, PrfOutput, prf_salt};
pub use recovery::{RECOVERY_KEY_DIGITS, RecoveryEntry, RecoveryKey};
pub use root::{ChunkIdKey, ReaderPublic, WriterKey};
pub use run::{RunKey, RunKeyError, SEALED_RUN_KEY_BYTES, seal_run_key};
pub use secret::{ExportKey, HighEntropySecret, WeakSecret};
pub use slot::{KeySlot, Method, Passkey, Password, PasswordRecord, UnlockSecret};
pub use status::{CHECK_INTERVALS_MS, DeviceInfo, Provider, SlotInfo, Status};

/// The schema of the keyring's messages, for publication beside a repository.
pub const KEYRING_SCHEMA: &str = proto::SCHEMA;
