//! A browser session.

mod channel;
mod sign_in;
mod step;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use heirloom_keys::{Passkey, Provider};
use rand_core::CryptoRng;

use self::channel::Channel;
pub use self::sign_in::SignIn;
use self::step::{Heard, Step, Wanted, asserted, dialog, failed, here};
use crate::ask::{Answer, Ask, Elsewhere, Ending, Enrol, Known, Options, Registered};
use crate::challenge::Bound;
use crate::error::{BadAnswer, CeremonyError};
use crate::handover::{Begun, Far, Handover, Link, PublicKeys};
use crate::message::{Asserted, Created, Said};
use crate::seal::{Output, Secret, StepKeys};
use crate::server::{self, Sockets};
use crate::state::Shared;
use crate::verify::{Backup, Expected, Key, Verified};
use crate::view::{Descriptor, Forget, Keys, Kind, View};
use crate::words;
use crate::{LOCALHOST, opening, provider};

/// A page in which one or more ceremonies run one after the other: on `http://localhost:PORT`, on a server's domain in
/// this computer's browser, or there on another device.
///
/// Dropping it stops serving and removes the opening file; [`Session::end`] also says how it ended.
#[derive(Debug)]
pub struct Session {
    channel: Channel,
    /// Whom passkeys are for, and from where the page asks.
    rp_id: String,
    origin: String,
    /// What a page that is ours has, and no other one.
    psk: Secret,
    repository: [u8; 16],
    backup: String,
    timeout: Duration,
    /// The number of the newest view; never used twice.
    number: u64,
    /// Challenges of earlier steps.
    used: Vec<[u8; 32]>,
    /// A passkey that this session made and found unusable.
    unusable: Option<Forget>,
    /// Whether the last registration left a passkey that nothing uses.
    unused: bool,
    /// What went wrong last, for whoever looks at the page when the program just ends.
    failure: Option<View>,
}

impl Session {
    /// Serves the page and has `open` open the file in a browser. `open` gets the file's path and
    /// must not block.
    ///
    /// The path may be given to a browser as an argument: it holds no secret, the file does. A browser
    /// in a sandbox (snap, flatpak) may not be able to read every folder: choose one below the home.
    pub fn begin(
        options: &Options<'_>,
        open: &mut dyn FnMut(&Path) -> io::Result<()>,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, CeremonyError> {
        let Options {
            repository,
            backup_label,
            folder,
            timeout,
            site,
        } = *options;
        let sockets = Sockets::bind().map_err(CeremonyError::Server)?;
        let port = sockets.port();
        let token = Secret::generate(rng);
        let handover = site.map(|site| Handover::new(site, rng));
        let psk = match &handover {
            Some(handover) => handover.psk(),
            None => token.derive_page().derive_psk(),
        };
        let cookie = Secret::generate(rng);
        let opening = opening::write(folder, port, &token, rng).map_err(CeremonyError::Server)?;
        let is_patient = handover.is_some();
        let shared = Shared::new(port, token, cookie, opening.clone(), is_patient);
        let shared = Arc::new(shared);
        let (rp_id, origin) = match site {
            Some(site) => (site.rp_id().to_owned(), site.origin().to_owned()),
            None => (LOCALHOST.to_owned(), format!("http://{LOCALHOST}:{port}")),
        };
        // From here on, dropping it cleans up.
        let mut session = Self {
            channel: Channel::Page {
                shared: Arc::clone(&shared),
                thread: None,
                opening: opening.clone(),
                handover,
            },
            rp_id,
            origin,
            psk,
            repository,
            backup: backup_label.to_owned(),
            timeout,
            number: 0,
            used: Vec::new(),
            unusable: None,
            unused: false,
            failure: None,
        };
        let serving = server::serve(sockets, shared).map_err(CeremonyError::Server)?;
        if let Channel::Page { thread, .. } = &mut session.channel {
            *thread = Some(serving);
        }
        open(&opening).map_err(CeremonyError::NoBrowser)?;
        Ok(session)
    }

    /// The same with the page on another device, which gets there by the link: as a QR code, or opened by hand. `begin`
    /// begins a session of a relay with these keys.
    pub fn begin_elsewhere(
        options: &Elsewhere<'_>,
        begin: &mut dyn FnMut(PublicKeys<'_>) -> io::Result<Begun>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Link), CeremonyError> {
        let Elsewhere {
            repository,
            backup_label,
            timeout,
            site,
        } = *options;
        let handover = Handover::new(site, rng);
        let [x_wing, x25519] = handover.keys.public();
        let Begun {
            relay,
            session,
            code,
        } = begin(PublicKeys { x_wing, x25519 }).map_err(CeremonyError::Relay)?;
        let far = Far { session, code };
        let link = handover.link(&far);
        let session = Self {
            rp_id: site.rp_id().to_owned(),
            origin: site.origin().to_owned(),
            psk: handover.psk(),
            channel: Channel::Relay {
                relay,
                handover,
                far,
                is_over: false,
            },
            repository,
            backup: backup_label.to_owned(),
            timeout,
            number: 0,
            used: Vec::new(),
            unusable: None,
            unused: false,
            failure: None,
        };
        Ok((session, link))
    }

    /// The relying party whose passkeys can be asked here.
    pub fn rp_id(&self) -> &str {
        &self.rp_id
    }

    /// One authentication with any of the candidates. Blocks until it is answered, or the time is over.
    ///
    /// Where a candidate's public key is not known its signature is not verified: the output must then
    /// open the slot of the credential that is named in the answer.
    pub fn authenticate(
        &mut self,
        ask: &Ask<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Answer, CeremonyError> {
        let answered = self.try_authenticate(ask, rng);
        self.tell(answered)
    }

    /// Registration, then two authentications that must agree.
    ///
    /// The output of the registration itself is never used: providers exist whose later ones differ.
    /// An error after the first step leaves a passkey behind that nothing uses; the page says so, and
    /// offers to have it deleted where it was found unusable.
    pub fn register(
        &mut self,
        enrol: &Enrol<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Registered, CeremonyError> {
        let registered = self.try_register(enrol, rng);
        self.tell(registered)
    }

    /// Whether the last registration failed after a passkey was saved: it is in its owner's password
    /// manager, and nothing uses it. The page says so; a program should as well.
    pub fn left_unused_passkey(&self) -> bool {
        self.unused
    }

    /// Tells the page how it ended (its last words), then stops serving.
    ///
    /// Waits up to three seconds for a page that is there to take them.
    pub fn end(mut self, ending: &Ending) {
        let number = self.next_number();
        let mut view = View::ending(number, &self.backup, ending);
        view.forget = self.unusable.take();
        self.failure = None;
        self.channel.last(&view);
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Shows what came of a ceremony, until the next one or the end.
    fn tell<T>(&mut self, outcome: Result<T, CeremonyError>) -> Result<T, CeremonyError> {
        let number = self.next_number();
        let view = match &outcome {
            Ok(_) => View::tell(
                Kind::Wait,
                number,
                &self.backup,
                "One moment…",
                &["Heirloom is at work.".to_owned()],
                None,
            ),
            Err(error) => {
                let mut view = View::failure(number, &self.backup, error);
                view.forget.clone_from(&self.unusable);
                let said = matches!(
                    error,
                    CeremonyError::UnusablePasskey | CeremonyError::FaultyProvider
                );
                if self.unused && !said {
                    view.add_text("The new passkey was saved but is not used: you can delete it.");
                }
                self.failure = Some(view.clone());
                view
            }
        };
        if outcome.is_ok() {
            self.failure = None;
        }
        self.channel.tell(&view);
        outcome
    }

    fn try_authenticate(
        &mut self,
        ask: &Ask<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Answer, CeremonyError> {
        let Ask {
            purpose,
            prf_input,
            candidates,
        } = *ask;
        self.forget_last();
        let candidates: Vec<&Known> = here(candidates, &self.rp_id).collect();
        if candidates.is_empty() {
            return Err(CeremonyError::NoCandidate);
        }
        let names: Vec<&str> = candidates
            .iter()
            .filter_map(|known| known.name.as_deref())
            .collect();
        let deadline = Instant::now() + self.timeout;
        let step = Step {
            purpose: purpose.label(),
            of_a_row: purpose.of_a_row(),
            words: words::asked(purpose, &names, self.channel.is_elsewhere()),
            wanted: Wanted::Get {
                prf_input,
                allow: candidates
                    .iter()
                    .map(|known| Descriptor::from(*known))
                    .collect(),
            },
        };
        let heard = self.ask(step, prf_input, deadline, rng)?;
        let asserted = asserted(&heard.said, false)?;
        let known = candidates
            .iter()
            .find(|known| known.credential_id == asserted.id)
            .ok_or(BadAnswer::UnknownPasskey)?;
        let key = known
            .public_key
            .as_deref()
            .map_or(Key::Unknown, Key::Public);
        let (output, backup) = self.hear(&heard, asserted, key)?;
        Ok(Answer {
            credential_id: asserted.id.clone(),
            prf: output.ok_or(CeremonyError::Unavailable)?.into_prf(),
            backup_eligible: backup.eligible,
            backup_state: backup.state,
        })
    }

    fn try_register(
        &mut self,
        enrol: &Enrol<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Registered, CeremonyError> {
        self.forget_last();
        let deadline = Instant::now() + self.timeout;
        let (created, verified) = self.create(enrol, deadline, rng)?;
        let Verified {
            mut credential,
            aaguid,
            public_key,
        } = verified;
        let provider_name = provider::provider_name(&aaguid);
        let mut prove = |session: &mut Self, purpose, of_a_row, words| {
            let step = Step {
                purpose,
                of_a_row: Some(of_a_row),
                words,
                wanted: Wanted::Get {
                    prf_input: enrol.prf_input,
                    allow: vec![Descriptor::new(&created.id, &created.transports)],
                },
            };
            let heard = session.ask(step, enrol.prf_input, deadline, rng)?;
            let asserted = asserted(&heard.said, false)?;
            if asserted.id != created.id {
                return Err(BadAnswer::UnknownPasskey.into());
            }
            let (output, backup) =
                session.hear(&heard, asserted, Key::Registered(&mut credential))?;
            let Some(output) = output else {
                session.mark_unusable(&created.id);
                return Err(CeremonyError::UnusablePasskey);
            };
            Ok((output, backup))
        };
        let (first, _) = prove(
            self,
            "register/test",
            "2 of 3: test it",
            words::test(provider_name),
        )?;
        let (second, backup) = prove(
            self,
            "register/again",
            "3 of 3: once more",
            words::once_more(),
        )?;
        if !first.agrees(&second) {
            self.mark_unusable(&created.id);
            return Err(CeremonyError::FaultyProvider);
        }
        self.unused = false;
        Ok(Registered {
            passkey: Passkey {
                credential_id: created.id,
                rp_id: self.rp_id.clone(),
                transports: created.transports,
            },
            provider: Provider {
                aaguid,
                backup_eligible: backup.eligible,
                // A passkey may have been synced since it was made.
                backup_state: backup.state,
            },
            prf: second.into_prf(),
            provider_name,
            public_key,
        })
    }

    /// The first of three steps.
    fn create(
        &mut self,
        enrol: &Enrol<'_>,
        deadline: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<(Created, Verified), CeremonyError> {
        let mut with_values = true;
        loop {
            let words = if with_values {
                words::save()
            } else {
                words::save_again()
            };
            let step = Step {
                purpose: "register/create",
                of_a_row: Some("1 of 3: save the passkey"),
                words,
                wanted: Wanted::Create {
                    enrol,
                    exclude: here(enrol.exclude, &self.rp_id)
                        .map(Descriptor::from)
                        .collect(),
                    with_values,
                },
            };
            let heard = self.ask(step, enrol.prf_input, deadline, rng)?;
            let created = match heard.said {
                Said::Created(created) => created,
                Said::Failed(name) if name == "UnknownError" && with_values => {
                    with_values = false;
                    continue;
                }
                said => return Err(failed(&said, true)),
            };
            // From here on there is a passkey that nothing uses yet: failures say so.
            self.unused = true;
            let exclude: Vec<Vec<u8>> = enrol
                .exclude
                .iter()
                .map(|known| known.credential_id.clone())
                .collect();
            let verified = self
                .expected(&heard.challenge)
                .registration(&created, &exclude)?;
            // Without values a provider may say that it has none, and still give them later.
            if with_values && created.prf_enabled == Some(false) {
                self.mark_unusable(&created.id);
                return Err(CeremonyError::UnusablePasskey);
            }
            return Ok((created, verified));
        }
    }

    /// Shows one step and waits for what the page says.
    fn ask(
        &mut self,
        step: Step<'_>,
        prf_input: &[u8; 32],
        deadline: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<Heard, CeremonyError> {
        let Step {
            purpose,
            of_a_row,
            words,
            wanted,
        } = step;
        let number = self.next_number();
        let keys = match self.channel.handover() {
            Some(handover) => Arc::clone(&handover.keys),
            None => Arc::new(StepKeys::generate(rng)),
        };
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let challenge = Bound {
            keys: keys.public(),
            nonce: &nonce,
            purpose,
            repository: &self.repository,
            step: number,
            prf_input,
        }
        .challenge();
        let left = deadline.saturating_duration_since(Instant::now());
        let options = dialog(wanted, &self.rp_id, &challenge, left, rng);
        // Where they are handed over the page has them already.
        let public = self.channel.handover().is_none().then(|| {
            let [x_wing, x25519] = keys.public().map(crate::bytes::text);
            Keys { x_wing, x25519 }
        });
        let view = View::ask(number, &self.backup, of_a_row, words, options, public);
        let said = self.channel.ask(&view, deadline);
        let heard = said.map(|message| Heard {
            said: message.said,
            keys,
            challenge,
        });
        if heard.is_err() {
            self.used.push(challenge);
        }
        heard
    }

    /// Verifies an authentication, then opens what is sealed.
    fn hear(
        &mut self,
        heard: &Heard,
        asserted: &Asserted,
        key: Key<'_>,
    ) -> Result<(Option<Output>, Backup), CeremonyError> {
        let Heard {
            said: _,
            keys,
            challenge,
        } = heard;
        let backup = self.expected(challenge).authentication(asserted, key)?;
        self.used.push(*challenge);
        let output = keys.open(&self.psk, challenge, &asserted.aad(), &asserted.sealed)?;
        Ok((output.filter(|output| !output.is_zero()), backup))
    }

    fn expected<'a>(&'a self, challenge: &'a [u8; 32]) -> Expected<'a> {
        Expected {
            rp_id: &self.rp_id,
            origin: &self.origin,
            challenge,
            earlier: &self.used,
        }
    }

    fn mark_unusable(&mut self, id: &[u8]) {
        self.unusable = Some(Forget {
            rp_id: self.rp_id.clone(),
            credential_id: crate::bytes::text(id),
        });
    }

    /// A new ceremony: what the last one left is no longer offered.
    fn forget_last(&mut self) {
        self.unusable = None;
        self.unused = false;
        self.failure = None;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.channel.is_open() {
            return;
        }
        let number = self.next_number();
        let view = match self.failure.take() {
            Some(failure) => failure.at_last(number),
            None => View::tell(
                Kind::End,
                number,
                &self.backup,
                "Heirloom has stopped",
                &["Go back to Heirloom to see how far it came.".to_owned()],
                Some(false),
            ),
        };
        self.channel.last(&view);
    }
}

#[cfg(test)]
mod tests;
