//! What remembers the newest state of a backup for every computer: the server signs it, and never goes back.
//!
//! Keyrings and heads are witnessed by the names that they have in the store, which hold number and hash. A store that
//! shows less than was witnessed is found out on any computer, also on one that has never seen the backup.

use heirloom_engine::store::{Listed, Put, Store, StoreError};
use heirloom_keys::LockedKeyring;
use heirloom_vault_api::{
    AccountId, Code, Fixed, Identity, LineageId, WitnessPut, WitnessRead, WitnessStatement,
    Witnessed,
};
use rand_core::Rng;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

use super::{Account, Address, CallError, Client, RemoteStore};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys;

const LABEL: &[u8] = b"heirloom/v1/witness";
const NOTHING: Fixed<32> = Fixed([0; 32]);

/// Number and hash of the newest thing that was witnessed.
pub(crate) type Newest = (u64, [u8; 32]);

/// The witness of one account.
#[derive(Debug)]
pub(crate) struct Witness {
    client: Client,
    account: AccountId,
    identity: Identity,
}

impl Witness {
    /// The witness of a store on a server; `None` for any other.
    pub(crate) fn of(place: &str, context: &Context) -> Result<Option<Arc<Self>>, Failure> {
        if !Address::is_one(place) {
            return Ok(None);
        }
        let address = Address::parse(place)?;
        let account = Account::needed(&address, context)?;
        Self::new(&address, &account).map(|witness| Some(Arc::new(witness)))
    }

    /// Uses a sign-in; what is not signed by the identity in it is no word of this witness.
    pub(crate) fn new(address: &Address, account: &Account) -> Result<Self, Failure> {
        Ok(Self {
            client: Client::new(address, Some(&account.token)),
            account: account.id,
            identity: Identity::new(&account.identity)
                .map_err(|_| not_this_server(&address.origin))?,
        })
    }

    /// Where it is.
    pub(crate) fn origin(&self) -> &str {
        self.client.origin()
    }

    /// The newest keyring of a backup.
    pub(crate) fn keyring(&self, repository: [u8; 16]) -> Result<Option<Newest>, Failure> {
        self.newest(keyring_id(repository))
    }

    /// The newest head of one of its lineages.
    pub(crate) fn head(&self, lineage: &str) -> Result<Option<Newest>, Failure> {
        self.newest(head_id(lineage))
    }

    fn newest(&self, id: LineageId) -> Result<Option<Newest>, Failure> {
        let witnessed = self.read(id)?;
        Ok((witnessed.sequence > 0).then_some((witnessed.sequence, witnessed.head.0)))
    }

    fn read(&self, lineage: LineageId) -> Result<Witnessed, Failure> {
        let nonce = nonce();
        let witnessed = self
            .client
            .post_again("/v1/witness/read", &WitnessRead { lineage, nonce })
            .map_err(|error| error.failure(self.origin()))?;
        self.verified(witnessed, lineage, &nonce)
    }

    fn verified(
        &self,
        witnessed: Witnessed,
        lineage: LineageId,
        nonce: &Fixed<32>,
    ) -> Result<Witnessed, Failure> {
        let statement = WitnessStatement {
            nonce,
            witnessed: &witnessed,
        };
        let is_ours = witnessed.account == self.account && witnessed.lineage == lineage;
        if !is_ours || statement.verify(&self.identity).is_err() {
            return Err(not_this_server(self.origin()));
        }
        Ok(witnessed)
    }

    /// Has it remember something newer. What it remembers already, or another computer told it meanwhile, stays.
    fn advance(&self, lineage: LineageId, (sequence, head): Newest) -> Result<(), Failure> {
        let now = self.read(lineage)?;
        if now.sequence >= sequence {
            return Ok(());
        }
        let nonce = nonce();
        let put = WitnessPut {
            lineage,
            expected_sequence: now.sequence,
            expected_head: now.head,
            sequence,
            head: Fixed(head),
            keyring_number: 0,
            keyring_hash: NOTHING,
            record: None,
            nonce,
        };
        match self.client.post_again("/v1/witness/advance", &put) {
            Ok(witnessed) => self.verified(witnessed, lineage, &nonce).map(drop),
            // An answer that was lost, or another computer: either way it has moved on.
            Err(CallError::Refused(problem)) if problem.code == Code::Conflict => Ok(()),
            Err(error) => Err(error.failure(self.origin())),
        }
    }

    /// Tells it of an object that was just stored, when that is one to remember.
    fn stored(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        if name.starts_with("keyring/") {
            // What this program stores is a keyring.
            let keyring = LockedKeyring::parse(bytes)?;
            let newest = (keyring.number(), *keyring.hash().as_bytes());
            let id = keyring_id(*keyring.repository().as_bytes());
            self.advance(id, newest)?;
            // The one place that can tell two computers at once which of them came second.
            let now = self.read(id)?;
            return if (now.sequence, now.head.0) == newest {
                Ok(())
            } else {
                Err(changed_at_once(self.origin(), now.sequence))
            };
        }
        match parse_head(name) {
            Some((lineage, newest)) => self.advance(head_id(lineage), newest),
            None => Ok(()),
        }
    }
}

/// `heads/<lineage>/<number>-<hash>`
pub(crate) fn parse_head(name: &str) -> Option<(&str, Newest)> {
    let (lineage, rest) = name.strip_prefix("heads/")?.split_once('/')?;
    let (number, hex) = rest.split_once('-')?;
    let mut hash = [0; 32];
    hex::decode_to_slice(hex, &mut hash).ok()?;
    Some((lineage, (number.parse().ok()?, hash)))
}

fn keyring_id(repository: [u8; 16]) -> LineageId {
    id(b"keyring", &repository)
}

fn head_id(lineage: &str) -> LineageId {
    id(b"head", lineage.as_bytes())
}

/// A thief of the server's database alone learns no lineage by it.
fn id(kind: &[u8], of: &[u8]) -> LineageId {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(LABEL)
        .chain_update([0])
        .chain_update(kind)
        .chain_update([0])
        .chain_update(of)
        .finalize()
        .into();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    Fixed(id)
}

fn nonce() -> Fixed<32> {
    let mut nonce = [0; 32];
    keys::rng().fill_bytes(&mut nonce);
    Fixed(nonce)
}

fn changed_at_once(origin: &str, number: u64) -> Failure {
    Failure::new(
        Exit::Damage,
        format!("another computer changed the ways in at the same moment: {origin} has signed its keyring {number}"),
    )
    .hint("`heirloom protect rotate STORE` joins the two")
}

pub(super) fn not_this_server(origin: &str) -> Failure {
    Failure::new(
        Exit::Damage,
        format!("{origin} does not sign as the server that this computer signed in to"),
    )
    .hint("ask who runs the server whether it was set up anew; until you know, do not trust what it shows")
}

/// A server's store whose newest keyrings and heads are witnessed as they are written.
#[derive(Debug)]
pub(crate) struct WitnessedStore {
    pub(crate) store: RemoteStore,
    pub(crate) witness: Witness,
}

impl Store for WitnessedStore {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let put = self.store.put_new(name, bytes)?;
        // Also when it was there: an earlier run may have been cut off between the two.
        self.witness
            .stored(name, bytes)
            .map_err(|failure| StoreError::Failed {
                name: name.to_owned(),
                temporary: failure.exit != Exit::Damage,
                why: failure.message,
            })?;
        Ok(put)
    }

    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.store.get(name, limit)
    }

    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.store.get_range(name, offset, len)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.store.list(prefix)
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.store.delete(name)
    }

    fn stat(&self, name: &str) -> Result<u64, StoreError> {
        self.store.stat(name)
    }

    fn sweep_unfinished(&self) -> Result<u64, StoreError> {
        self.store.sweep_unfinished()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heirloom_vault_api::VaultIdentity;
    use secrecy::SecretBox;

    fn vault(seed: u8) -> VaultIdentity {
        VaultIdentity::new(SecretBox::new(Box::new([seed; 32])))
    }

    fn witness() -> Witness {
        let address = Address::parse("http://localhost:1").unwrap();
        let account = Account {
            server: address.origin.clone(),
            id: Fixed([1; 16]),
            token: heirloom_vault_api::Token(Fixed([2; 32])),
            identity: vault(3).public().to_bytes(),
        };
        Witness::new(&address, &account).unwrap()
    }

    fn said(by: &VaultIdentity, account: u8, nonce: Fixed<32>) -> Witnessed {
        let mut witnessed = Witnessed {
            account: Fixed([account; 16]),
            lineage: head_id("ab"),
            sequence: 4,
            head: Fixed([9; 32]),
            keyring_number: 0,
            keyring_hash: NOTHING,
            log_length: 0,
            log_hash: NOTHING,
            signature: Fixed([0; 64]),
        };
        witnessed.signature = WitnessStatement {
            nonce: &nonce,
            witnessed: &witnessed,
        }
        .sign(by);
        witnessed
    }

    #[test]
    fn only_the_server_that_was_signed_in_to_is_believed_and_only_now_and_about_this() {
        let (witness, now) = (witness(), Fixed([5; 32]));
        let verified = |witnessed, lineage| witness.verified(witnessed, lineage, &now);
        let good = || said(&vault(3), 1, now);
        assert!(verified(good(), head_id("ab")).is_ok());
        let older = Witnessed {
            sequence: 3,
            ..good()
        };
        for (lie, lineage) in [
            (said(&vault(4), 1, now), "ab"),
            (said(&vault(3), 2, now), "ab"),
            (said(&vault(3), 1, Fixed([6; 32])), "ab"),
            (older, "ab"),
            (good(), "cd"),
        ] {
            assert_eq!(
                verified(lie, head_id(lineage)).unwrap_err().exit,
                Exit::Damage
            );
        }
    }

    #[test]
    fn a_heads_name_says_its_number_and_hash() {
        let hash = "ab".repeat(32);
        assert_eq!(
            parse_head(&format!("heads/0a0b/0000000012-{hash}")),
            Some(("0a0b", (12, [0xab; 32])))
        );
        for bad in ["heads/0a0b", "heads/a/1-zz", "packs/a/1-ab", "heads/a/x-ab"] {
            assert_eq!(parse_head(bad), None);
        }
    }

    #[test]
    fn a_keyring_and_a_head_are_never_taken_for_each_other() {
        assert_ne!(keyring_id([b'a'; 16]), head_id("aaaaaaaaaaaaaaaa"));
    }
}
