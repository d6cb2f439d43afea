//! Which rules a server goes by in what it offers: stamped by its operator, numbered, never older than before (A5).
//!
//! The rules themselves stay with the server, for they may name other people's tenants. A client gets their
//! stamp, and what they mean for its own account, signed by the vault over the client's nonce.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use secrecy::{ExposeSecret as _, SecretBox};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{AccountId, Fixed, Identity, NotSigned, VaultIdentity};

const LABEL_STAMP: &[u8] = b"heirloom/rollout/v1/rules";
const LABEL_OFFERS: &[u8] = b"heirloom/vault/v1/offers";
/// What a file of stamped rules begins with.
const MAGIC: &str = "heirloom-rollout-1";
/// The longest first line of such a file.
const MAX_LINE_BYTES: usize = 300;

/// What the client's program offers to add, where the server lets it.
pub const FEATURES: &[&str] = &["passkey", "password", "recovery-key", "device-approval"];

/// The secret half of the key that rules are stamped with. It lies with whoever writes them, on no server.
#[derive(Debug)]
pub struct OperatorKey(SecretBox<[u8; 32]>);

impl OperatorKey {
    /// Takes the seed: 32 random bytes.
    pub fn new(seed: SecretBox<[u8; 32]>) -> Self {
        Self(seed)
    }

    /// What servers and clients pin.
    pub fn public(&self) -> OperatorPublic {
        OperatorPublic(self.key().verifying_key())
    }

    /// Stamps rules. `version` must be greater than any that was stamped before.
    pub fn stamp(&self, version: u64, issued_ms: u64, rules: &[u8]) -> Stamp {
        let mut stamp = Stamp {
            version,
            issued_ms,
            rules: hash(rules),
            operator: self.public().to_bytes(),
            signature: Fixed([0; 64]),
        };
        stamp.signature = Fixed(self.key().sign(&stamp.bytes()).to_bytes());
        stamp
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_bytes(self.0.expose_secret())
    }
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(OperatorKey: Clone, Copy, std::fmt::Display);

/// The operator's public half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OperatorPublic(VerifyingKey);

impl OperatorPublic {
    /// Takes a public key; a weak or malformed one is refused.
    pub fn new(bytes: &Fixed<32>) -> Result<Self, NotSigned> {
        let key = VerifyingKey::from_bytes(bytes.as_bytes()).map_err(|_| NotSigned)?;
        (!key.is_weak()).then_some(Self(key)).ok_or(NotSigned)
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Fixed<32> {
        Fixed(self.0.to_bytes())
    }
}

impl fmt::Debug for OperatorPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorPublic")
    }
}

fn hash(bytes: &[u8]) -> Fixed<32> {
    Fixed(Sha256::digest(bytes).into())
}

/// An operator's word for one version of the rules: `label ‖ version u64 ‖ issued u64 ‖ SHA-256(rules)`, signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// Grows with every change.
    pub version: u64,
    /// When it was stamped, in milliseconds since 1970. For people; nothing is decided by it.
    pub issued_ms: u64,
    /// SHA-256 of the rules.
    pub rules: Fixed<32>,
    /// Who stamped it.
    pub operator: Fixed<32>,
    /// The operator's signature.
    pub signature: Fixed<64>,
}

impl Stamp {
    fn bytes(&self) -> Vec<u8> {
        let Self {
            version,
            issued_ms,
            rules,
            operator: _,
            signature: _,
        } = self;
        [
            LABEL_STAMP,
            &version.to_be_bytes(),
            &issued_ms.to_be_bytes(),
            rules.as_bytes(),
        ]
        .concat()
    }

    /// Whether the operator that it names signed it.
    pub fn verify(&self) -> Result<(), NotSigned> {
        let OperatorPublic(key) = OperatorPublic::new(&self.operator)?;
        key.verify_strict(
            &self.bytes(),
            &Signature::from_bytes(self.signature.as_bytes()),
        )
        .map_err(|_| NotSigned)
    }

    /// The file: one line with the stamp, then the rules, byte for byte.
    pub fn file(&self, rules: &[u8]) -> Vec<u8> {
        let Self {
            version,
            issued_ms,
            rules: _,
            operator,
            signature,
        } = self;
        let (operator, signature) = (operator.to_text(), signature.to_text());
        let line = format!("{MAGIC} {version} {issued_ms} {operator} {signature}\n");
        [line.as_bytes(), rules].concat()
    }

    /// Takes such a file apart. `None`: it is none; else the stamp, not verified yet, and the rules.
    pub fn of_file(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let end = bytes
            .iter()
            .take(MAX_LINE_BYTES)
            .position(|byte| *byte == b'\n')?;
        let (line, rules) = (bytes.get(..end)?, bytes.get(end + 1..)?);
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let mut word = || words.next();
        if word() != Some(MAGIC) {
            return None;
        }
        let number = |text: Option<&str>| {
            let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
            text.parse::<u64>().ok()
        };
        let stamp = Self {
            version: number(word())?,
            issued_ms: number(word())?,
            rules: hash(rules),
            operator: Fixed::parse(word()?).ok()?,
            signature: Fixed::parse(word()?).ok()?,
        };
        word().is_none().then_some((stamp, rules))
    }
}

/// The newest rules that somebody has seen: what comes later must not be older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenRules {
    /// Whose rules these are.
    pub operator: Fixed<32>,
    /// Their version.
    pub version: u64,
    /// SHA-256 of them.
    pub rules: Fixed<32>,
}

/// Why a server's rules are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTaken {
    /// The stamp is not its operator's.
    #[error("the rules are not signed by their operator")]
    NotSigned,
    /// Another operator than the one that is pinned.
    #[error("the rules are signed by another operator than before")]
    AnotherOperator,
    /// Older than what was seen (A5).
    #[error("the rules have version {shown}, and version {seen} was seen already")]
    Older {
        /// The newest that was seen.
        seen: u64,
        /// The one that came.
        shown: u64,
    },
    /// Two kinds of rules under one number.
    #[error("there are two different rules of version {0}")]
    Two(u64),
}

impl SeenRules {
    /// Takes a stamp after what was `seen`; gives what is seen from now on. No stamp after one is older, too.
    ///
    /// With `seen` empty, the stamp's operator is the one that is pinned by this.
    pub fn after(seen: Option<Self>, stamp: Option<&Stamp>) -> Result<Option<Self>, NotTaken> {
        let Some(stamp) = stamp else {
            return match seen {
                None => Ok(None),
                Some(seen) => Err(NotTaken::Older {
                    seen: seen.version,
                    shown: 0,
                }),
            };
        };
        stamp.verify().map_err(|_| NotTaken::NotSigned)?;
        let now = Self {
            operator: stamp.operator,
            version: stamp.version,
            rules: stamp.rules,
        };
        match seen {
            Some(seen) if seen.operator != now.operator => Err(NotTaken::AnotherOperator),
            Some(seen) if now.version < seen.version => Err(NotTaken::Older {
                seen: seen.version,
                shown: now.version,
            }),
            Some(seen) if now.version == seen.version && now.rules != seen.rules => {
                Err(NotTaken::Two(now.version))
            }
            Some(_) | None => Ok(Some(now)),
        }
    }
}

/// `POST /v1/offers`: what may be added, on this platform, with this version of the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AskOffers {
    /// `android`, `ios`, `linux`, `macos`, `web`, `windows`; at most 64 printable characters of ASCII.
    pub platform: String,
    /// The app's version, of the same form.
    pub version: String,
    /// 32 random bytes: without them an old answer would pass for a new one.
    pub nonce: Fixed<32>,
}

/// One thing that a client can add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// One of [`FEATURES`], or of a later version's.
    pub feature: String,
    /// Whether it is offered to be *added*. What was added before opens, whatever stands here.
    pub offered: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Offers {
    /// Whom it is for.
    pub account: AccountId,
    /// The rules it comes from. `null`: the server has none, and offers everything.
    pub stamp: Option<Stamp>,
    /// Each thing that the server knows, in the order of names.
    pub offers: Vec<Offer>,
    /// The vault's, over `label ‖ nonce ‖ account ‖ version u64 ‖ rules 32 ‖ SHA-256(offers)`; each offer is
    /// `length u8 ‖ feature ‖ 0 or 1`. Version 0 and zeros where there are no rules.
    pub signature: Fixed<64>,
}

impl Offers {
    /// Makes and signs an answer.
    pub fn sign(
        vault: &VaultIdentity,
        account: AccountId,
        stamp: Option<Stamp>,
        offers: Vec<Offer>,
        nonce: &Fixed<32>,
    ) -> Self {
        let mut answer = Self {
            account,
            stamp,
            offers,
            signature: Fixed([0; 64]),
        };
        answer.signature = vault.sign(&answer.bytes(nonce));
        answer
    }

    fn bytes(&self, nonce: &Fixed<32>) -> Vec<u8> {
        let Self {
            account,
            stamp,
            offers,
            signature: _,
        } = self;
        let mut list = Sha256::new();
        for Offer { feature, offered } in offers {
            // A longer one is no feature's: cut here, it fails the comparison of the names.
            let name = feature.as_bytes();
            let name = name.get(..255).unwrap_or(name);
            list.update([u8::try_from(name.len()).unwrap_or(u8::MAX)]);
            list.update(name);
            list.update([u8::from(*offered)]);
        }
        let version = stamp.map_or(0, |stamp| stamp.version);
        let rules = stamp.map_or(Fixed([0; 32]), |stamp| stamp.rules);
        [
            LABEL_OFFERS,
            nonce.as_bytes(),
            account.as_bytes(),
            &version.to_be_bytes(),
            rules.as_bytes(),
            &list.finalize(),
        ]
        .concat()
    }

    /// Whether the pinned vault said so, now, about this account. The stamp is [`SeenRules::after`]'s to judge.
    pub fn verify(
        &self,
        nonce: &Fixed<32>,
        account: &AccountId,
        identity: &Identity,
    ) -> Result<(), NotSigned> {
        if self.account != *account {
            return Err(NotSigned);
        }
        identity.verify(&self.bytes(nonce), &self.signature)
    }

    /// Whether a thing may be added. What the server does not know, it does not offer.
    pub fn has(&self, feature: &str) -> bool {
        self.offers
            .iter()
            .any(|offer| offer.feature == feature && offer.offered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(seed: u8) -> OperatorKey {
        OperatorKey::new(SecretBox::new(Box::new([seed; 32])))
    }

    #[test]
    fn a_stamp_holds_for_its_rules_and_its_version_alone() {
        let stamp = operator(1).stamp(7, 1_700_000_000_000, b"{}");
        let file = stamp.file(b"{}");
        let (read, rules) = Stamp::of_file(&file).unwrap();
        assert_eq!((read, rules), (stamp, b"{}".as_slice()));
        read.verify().unwrap();
        for at in 0..file.len() {
            for bit in [1, 2, 128] {
                let mut altered = file.clone();
                altered[at] ^= bit;
                let is_taken =
                    Stamp::of_file(&altered).is_some_and(|(stamp, _)| stamp.verify().is_ok());
                assert!(!is_taken, "{at}");
            }
            let is_taken =
                Stamp::of_file(&file[..at]).is_some_and(|(stamp, _)| stamp.verify().is_ok());
            assert!(!is_taken, "{at}");
        }
    }

    #[test]
    fn what_is_no_stamped_file_is_none() {
        let (key, signature) = (Fixed([1; 32]).to_text(), Fixed([1; 64]).to_text());
        for text in [
            String::new(),
            "{}".to_owned(),
            "heirloom-rollout-1\n{}".to_owned(),
            format!("heirloom-rollout-2 1 1 {key} {signature}\n"),
            format!("heirloom-rollout-1 +1 1 {key} {signature}\n"),
            format!("heirloom-rollout-1 1 1 {key} {signature} \n"),
            format!("heirloom-rollout-1 1 1 {key} {key}\n"),
            format!("heirloom-rollout-1 1 1 {key} {signature}"),
            format!("{}\n", "heirloom-rollout-1 1 ".repeat(1000)),
        ] {
            assert!(Stamp::of_file(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a5_older_rules_and_others_of_the_same_number_are_refused() {
        let stamp = |version, rules| operator(1).stamp(version, 0, rules);
        let seen = SeenRules::after(None, Some(&stamp(7, b"seven"))).unwrap();
        assert_eq!(seen.unwrap().version, 7);
        let then = |stamp: Option<Stamp>| SeenRules::after(seen, stamp.as_ref());
        assert_eq!(then(Some(stamp(7, b"seven"))), Ok(seen));
        assert_eq!(then(Some(stamp(8, b"eight"))).unwrap().unwrap().version, 8);
        assert_eq!(
            then(Some(stamp(6, b"six"))),
            Err(NotTaken::Older { seen: 7, shown: 6 })
        );
        assert_eq!(then(None), Err(NotTaken::Older { seen: 7, shown: 0 }));
        assert_eq!(then(Some(stamp(7, b"other"))), Err(NotTaken::Two(7)));
        let other = operator(2).stamp(9, 0, b"nine");
        assert_eq!(then(Some(other)), Err(NotTaken::AnotherOperator));
        let forged = Stamp {
            version: 9,
            ..stamp(8, b"eight")
        };
        assert_eq!(then(Some(forged)), Err(NotTaken::NotSigned));
        assert_eq!(
            SeenRules::after(None, Some(&forged)),
            Err(NotTaken::NotSigned)
        );
        assert_eq!(SeenRules::after(None, None), Ok(None));
    }

    #[test]
    fn offers_hold_for_one_account_one_question_and_one_vault() {
        let vault = |seed| VaultIdentity::new(SecretBox::new(Box::new([seed; 32])));
        let (account, nonce) = (Fixed([4; 16]), Fixed([5; 32]));
        let offer = |offered| Offer {
            feature: "passkey".to_owned(),
            offered,
        };
        let stamp = operator(1).stamp(7, 0, b"{}");
        let offers = Offers::sign(&vault(3), account, Some(stamp), vec![offer(false)], &nonce);
        let identity = vault(3).public();
        offers.verify(&nonce, &account, &identity).unwrap();
        assert!(!offers.has("passkey"));
        assert!(!offers.has("password"), "what is not known is not offered");
        for lie in [
            Offers {
                offers: vec![offer(true)],
                ..offers.clone()
            },
            Offers {
                offers: vec![],
                ..offers.clone()
            },
            Offers {
                stamp: None,
                ..offers.clone()
            },
            Offers {
                stamp: Some(operator(1).stamp(8, 0, b"{}")),
                ..offers.clone()
            },
            Offers {
                stamp: Some(operator(1).stamp(7, 0, b"{ }")),
                ..offers.clone()
            },
            Offers {
                account: Fixed([6; 16]),
                ..offers.clone()
            },
        ] {
            assert!(lie.verify(&nonce, &account, &identity).is_err(), "{lie:?}");
        }
        assert!(offers.verify(&Fixed([6; 32]), &account, &identity).is_err());
        assert!(offers.verify(&nonce, &Fixed([6; 16]), &identity).is_err());
        assert!(offers.verify(&nonce, &account, &vault(8).public()).is_err());
    }
}
