//! What would open a backup, told from its keyring's public part alone.
//!
//! Until the keyring has been unlocked a store may have written it: nothing here is trusted, and all of it is tamed.

use heirloom_ceremony::{Known, LOCALHOST, Site};
use heirloom_keys::{KeySlot, LockedKeyring, Method, Passkey, Password};

use crate::password::Guarded;
use crate::words;

/// So much of a name that a store chose is shown.
const SHOWN_CHARS: usize = 60;

/// A kind of way in that this program can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// What this computer keeps for itself, since its owner let it in.
    ThisComputer,
    /// Any of the passkeys, in the browser.
    Passkey,
    /// The password, checked by a server that counts wrong ones.
    Password,
    /// The recovery key, typed or from a file.
    RecoveryKey,
}

/// The ways into one backup, most likely first.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    /// Whether this computer opens it by itself.
    pub(crate) own: bool,
    /// The server on whose page they are asked for; else it is a page of this computer.
    pub(crate) site: Option<Site>,
    /// Passkeys that can be asked for here.
    pub(crate) passkeys: Vec<Passkey>,
    /// Passwords that can be asked for here, by the number of their way in: two while one is being changed.
    pub(crate) passwords: Vec<(usize, Password)>,
    /// How many recovery keys there are.
    pub(crate) recovery_keys: usize,
    /// What this program cannot ask for, each with why, in words.
    elsewhere: Vec<String>,
}

impl Offers {
    /// Reads the public part.
    pub(crate) fn of(locked: &LockedKeyring) -> Self {
        Self::at(locked, None)
    }

    /// The same, where passkeys are asked for on the page of a server.
    pub(crate) fn at(locked: &LockedKeyring, site: Option<Site>) -> Self {
        Self::of_methods(locked.slots().iter().map(KeySlot::method), site)
    }

    fn of_methods<'a>(methods: impl Iterator<Item = &'a Method>, site: Option<Site>) -> Self {
        let mut offers = Self {
            site,
            ..Self::default()
        };
        for (at, method) in methods.enumerate() {
            match method {
                Method::RecoveryKey => offers.recovery_keys += 1,
                Method::Passkey(passkey) if passkey.rp_id == offers.rp_id() => {
                    offers.passkeys.push(passkey.clone());
                }
                Method::Passkey(passkey) if passkey.rp_id == LOCALHOST => offers.add_elsewhere(
                    "a passkey saved for localhost, which a page of this computer asks for (`--via local`)".into(),
                ),
                Method::Passkey(Passkey {
                    credential_id: _,
                    rp_id,
                    transports: _,
                }) => offers.add_elsewhere(format!(
                    "a passkey saved for {}, which only that site can ask for",
                    short(rp_id)
                )),
                Method::Password(password) if Guarded::of(password).is_some() => {
                    offers.passwords.push((at + 1, password.clone()));
                }
                Method::Password(Password {
                    record_id: _,
                    server,
                    opaque_suite: _,
                }) => offers.add_elsewhere(format!(
                    "a password kept with {}, which this version cannot ask for",
                    short(server)
                )),
                Method::Device(_) => offers.add_elsewhere(
                    "what another computer keeps for itself, which only that one can use".into(),
                ),
                _ => offers.add_elsewhere(
                    "a way in that this version does not know; a newer one may".into(),
                ),
            }
        }
        offers
    }

    /// Whose passkeys are asked for.
    fn rp_id(&self) -> &str {
        self.site.as_ref().map_or(LOCALHOST, Site::rp_id)
    }

    fn add_elsewhere(&mut self, words: String) {
        if !self.elsewhere.contains(&words) {
            self.elsewhere.push(words);
        }
    }

    /// What can be asked for here, most likely first.
    pub(crate) fn here(&self) -> Vec<Way> {
        let mut ways = Vec::new();
        if self.own {
            ways.push(Way::ThisComputer);
        }
        if !self.passkeys.is_empty() {
            ways.push(Way::Passkey);
        }
        if !self.passwords.is_empty() {
            ways.push(Way::Password);
        }
        if self.recovery_keys > 0 {
            ways.push(Way::RecoveryKey);
        }
        ways
    }

    /// One line for each way in, those that work here first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.here().into_iter().map(|way| self.line(way)).collect();
        lines.extend(
            self.elsewhere
                .iter()
                .map(|words| format!("not from here: {words}")),
        );
        lines
    }

    fn line(&self, way: Way) -> String {
        match way {
            Way::ThisComputer => "what this computer keeps for itself".into(),
            Way::Passkey if self.passkeys.len() == 1 => format!(
                "a passkey (in your browser, password manager or security key, saved for {})",
                short(self.rp_id())
            ),
            Way::Passkey => format!(
                "one of {} passkeys (in your browser, password manager or security key, saved for {})",
                self.passkeys.len(),
                short(self.rp_id())
            ),
            Way::Password => {
                let server = self
                    .passwords
                    .first()
                    .map(|(_, password)| short(&password.server));
                format!("the password (checked by {})", server.unwrap_or_default())
            }
            Way::RecoveryKey if self.recovery_keys == 1 => "the recovery key (64 digits)".into(),
            Way::RecoveryKey => format!("one of {} recovery keys (64 digits)", self.recovery_keys),
        }
    }

    /// The same, with what this computer keeps for itself; another computer's is not told of then.
    pub(crate) fn with_own(locked: &LockedKeyring, own: bool, site: Option<Site>) -> Self {
        Self {
            own,
            ..Self::at(locked, site)
        }
    }

    /// The ways in with the flags that choose them: "a passkey (`--passkey`) or the recovery key (…)".
    pub(crate) fn flags(&self) -> Option<String> {
        let ways: Vec<_> = self.here().into_iter().map(Way::with_flag).collect();
        (!ways.is_empty()).then(|| ways.join(" or "))
    }

    /// What else would open it, when `tried` did not.
    pub(crate) fn besides(&self, tried: Way) -> Option<&'static str> {
        self.here()
            .into_iter()
            .find(|way| *way != tried)
            .map(Way::with_flag)
    }
}

impl Way {
    fn with_flag(self) -> &'static str {
        match self {
            Self::ThisComputer => "this computer by itself (without a flag)",
            Self::Passkey => "a passkey (`--passkey`)",
            Self::Password => "the password (`--password-file FILE`)",
            Self::RecoveryKey => "the recovery key (`--recovery-key-file FILE`)",
        }
    }
}

/// A passkey as the browser is asked for it.
pub(crate) fn known(passkey: &Passkey, name: Option<String>) -> Known {
    let Passkey {
        credential_id,
        rp_id,
        transports,
    } = passkey.clone();
    Known {
        credential_id,
        rp_id,
        transports,
        name,
        public_key: None,
    }
}

fn short(text: &str) -> String {
    let tame = words::tame(text);
    if tame.chars().count() <= SHOWN_CHARS {
        return tame;
    }
    let start: String = tame.chars().take(SHOWN_CHARS).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passkey(rp_id: &str, id: u8) -> Method {
        Method::Passkey(Passkey {
            credential_id: vec![id],
            rp_id: rp_id.into(),
            transports: vec!["internal".into()],
        })
    }

    fn offers(methods: &[Method]) -> Offers {
        Offers::of_methods(methods.iter(), None)
    }

    #[test]
    fn passkeys_come_before_the_recovery_key() {
        let offers = offers(&[Method::RecoveryKey, passkey("localhost", 1)]);
        assert_eq!(offers.here(), [Way::Passkey, Way::RecoveryKey]);
        assert_eq!(
            offers.flags().unwrap(),
            "a passkey (`--passkey`) or the recovery key (`--recovery-key-file FILE`)"
        );
        assert_eq!(
            offers.besides(Way::Passkey),
            Some("the recovery key (`--recovery-key-file FILE`)")
        );
    }

    #[test]
    fn a_passkey_of_another_site_is_named_with_why_and_not_offered() {
        let offers = offers(&[passkey("example.org", 1), Method::RecoveryKey]);
        assert_eq!(offers.here(), [Way::RecoveryKey]);
        assert_eq!(
            offers.lines(),
            [
                "the recovery key (64 digits)",
                "not from here: a passkey saved for example.org, which only that site can ask for"
            ]
        );
        assert!(offers.passkeys.is_empty());
    }

    #[test]
    fn on_the_page_of_a_server_its_passkeys_are_offered_and_no_others() {
        let site = Site::new("example.org", "https://vault.example.org/ceremony");
        let methods = [
            passkey("example.org", 1),
            passkey("localhost", 2),
            passkey("other.org", 3),
        ];
        let offers = Offers::of_methods(methods.iter(), site);
        assert_eq!(
            offers.lines(),
            [
                "a passkey (in your browser, password manager or security key, saved for example.org)",
                "not from here: a passkey saved for localhost, which a page of this computer asks for (`--via local`)",
                "not from here: a passkey saved for other.org, which only that site can ask for",
            ]
        );
        assert_eq!(offers.passkeys.len(), 1);
    }

    #[test]
    fn a_password_is_offered_where_its_server_and_record_make_sense() {
        let record = heirloom_keys::PasswordRecord {
            name: [1; 16],
            vault: heirloom_vault_api::VaultIdentity::new(secrecy::SecretBox::new(Box::new(
                [3; 32],
            )))
            .public()
            .to_bytes()
            .0,
            version: 1,
        };
        let method = |record_id: Vec<u8>, server: &str, opaque_suite| {
            Method::Password(Password {
                record_id,
                server: server.into(),
                opaque_suite,
            })
        };
        let good = offers(&[method(record.to_bytes(), "https://vault.example", 1)]);
        assert_eq!(good.here(), [Way::Password]);
        assert_eq!(
            good.lines(),
            ["the password (checked by https://vault.example)"]
        );
        for bad in [
            method(vec![1; 16], "https://vault.example", 1),
            method(record.to_bytes(), "http://vault.example", 1),
            method(record.to_bytes(), "https://vault.example/path", 1),
            method(record.to_bytes(), "https://vault.example", 0),
            method(record.to_bytes(), "https://vault.example", 2),
        ] {
            assert!(offers(&[bad]).here().is_empty());
        }
    }

    #[test]
    fn what_looks_like_localhost_is_not() {
        for rp_id in [
            "LOCALHOST",
            "localhost.",
            "localhost.example.org",
            "127.0.0.1",
            " localhost",
        ] {
            assert!(offers(&[passkey(rp_id, 1)]).passkeys.is_empty(), "{rp_id}");
        }
    }

    #[test]
    fn a_hostile_name_cannot_steer_the_terminal_or_fill_it() {
        let lines = offers(&[passkey(&"\u{1b}[2J".repeat(60), 1)]).lines();
        assert!(
            !lines[0].contains('\u{1b}') && lines[0].chars().count() < 150,
            "{lines:?}"
        );
    }

    #[test]
    fn the_same_reason_is_said_once() {
        let lines = offers(&[passkey("example.org", 1), passkey("example.org", 2)]).lines();
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn where_nothing_works_nothing_is_offered() {
        let none = offers(&[passkey("example.org", 1)]);
        assert_eq!(none.flags(), None);
        assert_eq!(none.besides(Way::Passkey), None);
    }
}
