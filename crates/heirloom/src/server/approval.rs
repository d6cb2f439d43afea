//! Letting a new computer in from one that is signed in: six words that both show. `docs/vault.md`, section 7.4.

use std::time::{Duration, Instant};

use heirloom_vault_api::approval::{
    Approving, Awaiting, Contribution, Joining, NotAgreed, Replying, Reveal, Sealed, SixWords,
};
use heirloom_vault_api::{
    APPROVAL_TRIES, ApprovalAnswer, ApprovalAsk, ApprovalCommit, ApprovalEnd, ApprovalJoin,
    ApprovalJoined, ApprovalPart, ApprovalReplied, ApprovalReply, ApprovalReveal, ApprovalSealed,
    ApprovalStart, ApprovalStarted, ApprovalState, Bytes, Code, Fixed, Invitation, Invite,
};
use serde::{Deserialize, Serialize};

use heirloom_keys::{Admission, Unlocked};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::{Address, CallError, Client};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::{RepositoryState, Seen, SeenHead};
use crate::keys;
use crate::output::events::Event;
use crate::repository::Found;
use crate::secrets;

/// How often it is looked whether the other computer went on.
const LOOK: Duration = Duration::from_millis(400);
/// As long as the server remembers a session.
const TIME: Duration = Duration::from_mins(10);
/// So many heads are told of.
const MOST_HEADS: usize = 16;

/// What the new computer is given.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    #[serde(rename = "heirloom_grant")]
    version: u8,
    /// Who the server is to the computer that is signed in.
    identity: Fixed<32>,
    invite: Invite,
    /// Which backup it may open, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backup: Option<Backup>,
}

/// A backup as the computer that lets another one in has just opened it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backup {
    /// Behind the server's name.
    place: String,
    repository: Fixed<16>,
    number: u64,
    hash: Fixed<32>,
    events: u64,
    heads: Vec<SeenHead>,
}

/// What the new computer asks for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asks {
    #[serde(rename = "heirloom_asks")]
    version: u8,
    name: String,
    admission: Bytes<4096>,
}

/// What the computer that is signed in gives.
pub(crate) struct Letting {
    /// Who the server is to it.
    pub(crate) identity: Fixed<32>,
    /// Which backup the new computer may open.
    pub(crate) backup: Option<Backup>,
}

/// What the new computer asked for, and nobody else.
pub(crate) struct Asked {
    /// What it calls itself.
    pub(crate) name: String,
    pub(crate) admission: Admission,
}

/// What the new computer was given.
pub(crate) struct Granted {
    /// To sign in with.
    pub(crate) invite: Invite,
    /// What to ask for then.
    pub(crate) offered: Option<Offered>,
}

/// A backup that the other computer lets this one open, once it has asked.
pub(crate) struct Offered {
    pub(crate) backup: Backup,
    replying: Replying,
    session: Fixed<16>,
    ticket: Fixed<16>,
}

impl Backup {
    /// What is told of an opened backup: so that the new computer takes no older state for the newest.
    pub(crate) fn of(
        unlocked: &Unlocked,
        found: &Found,
        address: &Address,
    ) -> Result<Self, Failure> {
        let seen = unlocked.seen();
        let known = found
            .state
            .as_ref()
            .map(RepositoryState::seen)
            .transpose()?;
        let mut heads = known.flatten().unwrap_or_default().heads;
        heads.truncate(MOST_HEADS);
        Ok(Self {
            place: address.prefix.clone(),
            repository: Fixed(*unlocked.repository().as_bytes()),
            number: seen.number,
            hash: Fixed(*seen.hash.as_bytes()),
            events: seen.events,
            heads,
        })
    }

    /// Its address on the server of `origin`.
    pub(crate) fn address(&self, origin: &str) -> Result<Address, Failure> {
        Address::parse(&format!("{origin}/{}", self.place)).map_err(|_| not_agreed(NotAgreed))
    }

    pub(crate) fn repository(&self) -> [u8; 16] {
        self.repository.0
    }

    /// What the other computer has seen, to be remembered here.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            keyring_number: self.number,
            keyring_hash: hex::encode(self.hash.as_bytes()),
            events: self.events,
            heads: self.heads.clone(),
        }
    }
}

#[derive(Serialize)]
struct Waiting<'a> {
    code: &'a str,
}

#[derive(Serialize)]
struct WaitingFor {
    r#for: &'static str,
}

#[derive(Serialize)]
struct Words {
    words: String,
}

/// One side of a session.
struct Side<'a> {
    client: &'a Client,
    context: &'a Context,
    session: Fixed<16>,
    ticket: Fixed<16>,
    since: Instant,
}

impl Side<'_> {
    fn failed(&self, error: CallError) -> Failure {
        if error.code() == Some(Code::NotFound) {
            return over();
        }
        error.failure(self.client.origin())
    }

    /// Waits until `reached` finds what it looks for. `None`: the other side says that the words differ.
    fn wait<T>(
        &self,
        failed: u32,
        reached: impl Fn(ApprovalState) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let ask = ApprovalAsk {
            session: self.session,
            ticket: self.ticket,
        };
        while self.since.elapsed() < TIME {
            let state: ApprovalState = self
                .client
                .post_again("/v1/approvals/state", &ask)
                .map_err(|error| self.failed(error))?;
            if state.failed != failed {
                return Ok(None);
            }
            if let Some(found) = reached(state) {
                return Ok(Some(found));
            }
            std::thread::sleep(LOOK);
        }
        Err(over())
    }

    fn tell<Q: Serialize>(&self, path: &str, question: &Q) -> Result<(), Failure> {
        let _: serde_json::Value = self
            .client
            .post_once(path, question)
            .map_err(|error| self.failed(error))?;
        Ok(())
    }

    fn show(&self, words: &SixWords) {
        let output = &self.context.output;
        let words = words.to_string();
        output.event(&Event::new(
            "words",
            Words {
                words: words.clone(),
            },
        ));
        if !output.json() {
            output.show(&format!("\n    {words}\n"));
        }
    }

    /// Whether the other computer shows the same words: a person's word, else the words themselves on standard input.
    fn are_same(&self, words: &SixWords) -> Result<bool, Failure> {
        if self.context.output.can_ask() {
            return secrets::ask_yes("Does the other computer show the same six words");
        }
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        if read.is_err() || line.trim().is_empty() {
            return Err(Failure::new(
                Exit::NeedsUnlock,
                "nobody said which words the other computer shows",
            )
            .hint("run this at a terminal; unattended, write the other computer's six words to its standard input"));
        }
        Ok(words.are(&line))
    }
}

fn over() -> Failure {
    Failure::new(
        Exit::NeedsUnlock,
        "the approval is over: it is good for 10 minutes and three tries",
    )
    .hint("begin again on the new computer")
}

fn not_agreed(_: NotAgreed) -> Failure {
    Failure::new(
        Exit::NeedsUnlock,
        "what came from the other computer does not fit: somebody may be in between",
    )
    .hint("nobody was let in; try another network, or use an invitation")
}

fn differed() -> Failure {
    Failure::new(
        Exit::NeedsUnlock,
        "the words differ: somebody may be in between, or it was another computer",
    )
    .hint("nobody was let in; try another network, or use an invitation")
}

fn contribution(part: &ApprovalPart) -> Contribution {
    let ApprovalPart { key, nonce } = *part;
    Contribution { key, nonce }
}

/// The new computer's part; gives the invitation that the other one sealed, and the backup that it may open.
pub(crate) fn ask_to_be_let_in(
    client: &Client,
    identity: &Fixed<32>,
    context: &Context,
) -> Result<Granted, Failure> {
    let ApprovalStarted {
        session,
        ticket,
        code,
    } = client
        .post_once("/v1/approvals", &ApprovalStart {})
        .map_err(|error| error.failure(client.origin()))?;
    // It goes to the terminal and into a command that a person copies.
    let code: String = code
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(16)
        .collect();
    let output = &context.output;
    output.event(&Event::new("approval", Waiting { code: &code }));
    output.say(&format!(
        "On a computer that is signed in, run: heirloom approve {} --code {code}",
        client.origin()
    ));
    let side = Side {
        client,
        context,
        session,
        ticket,
        since: Instant::now(),
    };
    let mut rng = keys::rng();
    for failed in 0..APPROVAL_TRIES {
        let joining = Joining::new(&mut rng);
        let commit = ApprovalCommit {
            session,
            ticket,
            commitment: joining.commitment(&session),
        };
        side.tell("/v1/approvals/commit", &commit)?;
        let Some(part) = side.wait(failed, |state| state.answer)? else {
            continue;
        };
        let (reveal, joined) = joining
            .reveal(&session, &contribution(&part), &mut rng)
            .map_err(not_agreed)?;
        let Reveal {
            contribution: Contribution { key, nonce },
            encapsulated,
        } = reveal;
        let reveal = ApprovalReveal {
            session,
            ticket,
            key,
            nonce,
            encapsulated,
        };
        side.tell("/v1/approvals/reveal", &reveal)?;
        let words = joined.words();
        output.say("Both computers show these words:");
        side.show(&words);
        let Some(sealed) = side.wait(failed, |state| state.sealed)? else {
            output.warn("the other computer shows other words; trying again");
            continue;
        };
        // Who is in between could say yes in the other computer's name.
        if !side.are_same(&words)? {
            // The other one may be waiting for what is asked; it hears why nothing comes.
            let reply = ApprovalReply {
                session,
                ticket,
                sealed: None,
            };
            let _ = side.tell("/v1/approvals/reply", &reply);
            return Err(differed());
        }
        let (opened, replying) = joined.open(&plain(sealed)).map_err(not_agreed)?;
        let grant: Grant = serde_json::from_slice(&opened).map_err(|_| not_agreed(NotAgreed))?;
        let Grant {
            version,
            identity: theirs,
            invite,
            backup,
        } = grant;
        if version != 1 || theirs != *identity {
            return Err(not_agreed(NotAgreed));
        }
        let offered = backup.map(|backup| Offered {
            backup,
            replying,
            session,
            ticket,
        });
        return Ok(Granted { invite, offered });
    }
    Err(differed())
}

fn plain(sealed: ApprovalSealed) -> Sealed {
    let ApprovalSealed {
        encapsulated,
        ciphertext,
    } = sealed;
    Sealed {
        encapsulated,
        ciphertext: ciphertext.into_bytes(),
    }
}

fn carried(sealed: Sealed) -> Option<ApprovalSealed> {
    let Sealed {
        encapsulated,
        ciphertext,
    } = sealed;
    Bytes::new(ciphertext).map(|ciphertext| ApprovalSealed {
        encapsulated,
        ciphertext,
    })
}

impl Offered {
    /// Asks the other computer to take this one into the backup.
    pub(crate) fn ask(
        self,
        name: String,
        admission: &Admission,
        client: &Client,
        context: &Context,
    ) -> Result<(), Failure> {
        let Self {
            backup: _,
            replying,
            session,
            ticket,
        } = self;
        let admission = admission.expose_bytes();
        let admission = Bytes::new(admission.expose_secret().to_vec())
            .ok_or_else(|| Failure::new(Exit::Failed, "what is asked for is too long"))?;
        let asks = Asks {
            version: 1,
            name,
            admission,
        };
        let message = Zeroizing::new(serde_json::to_vec(&asks).unwrap_or_default());
        let sealed = replying
            .seal(&message, &mut keys::rng())
            .map_err(not_agreed)?;
        drop(Zeroizing::new(asks.admission.into_bytes()));
        let reply = ApprovalReply {
            session,
            ticket,
            sealed: carried(sealed),
        };
        let _: serde_json::Value =
            client
                .post_once("/v1/approvals/reply", &reply)
                .map_err(|error| match error.code() {
                    Some(Code::NotFound) => over(),
                    _ => error.failure(client.origin()),
                })?;
        let output = &context.output;
        output.say("Waiting until the other computer has taken this one into the backup");
        let waiting = WaitingFor {
            r#for: "other_computer",
        };
        output.event(&Event::new("waiting", waiting));
        Ok(())
    }
}

/// The signed-in computer's part. Gives what the new one asked for, where it was offered a backup.
pub(crate) fn let_in(
    client: &Client,
    letting: Letting,
    code: &str,
    context: &Context,
) -> Result<Option<Asked>, Failure> {
    let Letting { identity, backup } = letting;
    let join = ApprovalJoin {
        code: code.to_owned(),
    };
    let ApprovalJoined { session, ticket } = client
        .post_once("/v1/approvals/join", &join)
        .map_err(|error| match error.code() {
            Some(Code::NotFound) => {
                Failure::new(Exit::NeedsUnlock, "no computer is waiting with this code")
                    .hint("read it again on the new computer: it is good once, for 10 minutes")
            }
            _ => error.failure(client.origin()),
        })?;
    let output = &context.output;
    let side = Side {
        client,
        context,
        session,
        ticket,
        since: Instant::now(),
    };
    let mut rng = keys::rng();
    for failed in 0..APPROVAL_TRIES {
        let Some(commitment) = side.wait(failed, |state| state.commitment)? else {
            return Err(over());
        };
        let approving = Approving::new(session, commitment, &mut rng);
        let Contribution { key, nonce } = approving.contribution().clone();
        let answer = ApprovalAnswer {
            session,
            ticket,
            key,
            nonce,
        };
        side.tell("/v1/approvals/answer", &answer)?;
        let reached = |state: ApprovalState| Some((state.reveal?, state.encapsulated?));
        let Some((part, encapsulated)) = side.wait(failed, reached)? else {
            return Err(over());
        };
        let reveal = Reveal {
            contribution: contribution(&part),
            encapsulated,
        };
        let agreed = approving.agree(&reveal).map_err(not_agreed)?;
        let words = agreed.words();
        output.say("Both computers show these words:");
        side.show(&words);
        if !side.are_same(&words)? {
            let end = ApprovalEnd {
                session,
                ticket,
                sealed: None,
            };
            side.tell("/v1/approvals/end", &end)?;
            if failed + 1 < APPROVAL_TRIES {
                output.warn("nobody was let in; both computers show new words now");
            }
            continue;
        }
        let Invitation { invite } = client
            .post_once("/v1/invitations", &serde_json::json!({}))
            .map_err(|error| error.failure(client.origin()))?;
        let grant = Grant {
            version: 1,
            identity,
            invite,
            backup,
        };
        let is_offered = grant.backup.is_some();
        let message = Zeroizing::new(serde_json::to_vec(&grant).unwrap_or_default());
        let (sealed, awaiting) = agreed.seal(&message, &mut rng).map_err(not_agreed)?;
        let end = ApprovalEnd {
            session,
            ticket,
            sealed: carried(sealed),
        };
        side.tell("/v1/approvals/end", &end)?;
        if !is_offered {
            return Ok(None);
        }
        output.say("Waiting for the new computer: say there, too, that the words are the same");
        output.event(&Event::new(
            "waiting",
            WaitingFor {
                r#for: "new_computer",
            },
        ));
        return asked(&side, failed, awaiting).map(Some);
    }
    Err(differed())
}

/// Waits for what the new computer asks for.
fn asked(side: &Side<'_>, failed: u32, awaiting: Awaiting) -> Result<Asked, Failure> {
    let Some(ApprovalReplied { sealed }) = side.wait(failed, |state| state.reply)? else {
        return Err(over());
    };
    // A person on the new computer saw other words.
    let sealed = sealed.ok_or_else(differed)?;
    let message = awaiting.open(&plain(sealed)).map_err(not_agreed)?;
    let asks: Asks = serde_json::from_slice(&message).map_err(|_| not_agreed(NotAgreed))?;
    let Asks {
        version,
        name,
        admission,
    } = asks;
    let admission = Zeroizing::new(admission.into_bytes());
    let admission = Admission::from_bytes(&admission).map_err(|_| not_agreed(NotAgreed))?;
    if version != 1 {
        return Err(not_agreed(NotAgreed));
    }
    Ok(Asked { name, admission })
}
