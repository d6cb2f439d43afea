//! One guess: counted for good, then evaluated; given back when it is proven.

use heirloom_vault_api::{
    AccountId, Code, Commitment, Evaluated, EvaluatedStatement, Fixed, GuessStart, Problem, Proof,
    Proved, ProvedStatement, RecordName, Which, suite,
};
use opaque_ke::{CredentialRequest, ServerLogin};
use zeroize::Zeroizing;

use super::{Vault, evaluate, random};
use crate::db::{self, DbError, Sql, StoreError};
use crate::keys::{Place, ServerKeys};
use crate::metrics::Guessed;
use crate::refusal::Refusal;
use crate::store::guess::{self, Counted, Guess, Proven};
use crate::store::record::{Record, State};
use crate::store::shard;

/// Where the session of a last guess is sealed to.
pub(crate) const SESSION: &str = "vault_record.session_state";
/// Where a version is sealed to.
const SEALED: &str = "vault_record.sealed";

/// A guess that waits for its proof.
pub(super) struct Session {
    record: RecordName,
    suite: u16,
    version: u32,
    number: u64,
    pending: bool,
    opening: Fixed<32>,
    login: ServerLogin<suite::V1>,
}

/// A guess that is counted for good, and not evaluated yet.
struct CountedGuess {
    name: RecordName,
    suite: u16,
    pending: bool,
    ke1: Fixed<96>,
    session: Fixed<16>,
    account: Option<AccountId>,
}

/// The place of a record's version.
pub(crate) fn of_version(record: &RecordName, version: u32) -> Place<'_> {
    Place {
        column: SEALED,
        record,
        version: u64::from(version),
    }
}

fn of_session(record: &RecordName, number: u64) -> Place<'_> {
    Place {
        column: SESSION,
        record,
        version: number,
    }
}

impl Vault {
    /// Evaluates one guess of a caller who is known. It counts, whatever becomes of the answer.
    #[cfg(test)]
    pub(crate) async fn guess(
        &self,
        start: GuessStart,
        account: Option<AccountId>,
    ) -> Result<Evaluated, Refusal> {
        self.guess_by(start, move |_| Ok(Ok(account))).await
    }

    /// Evaluates one guess. It counts, whatever becomes of the answer.
    ///
    /// `who` says who asks, in the transaction that counts: one commit for both. It may run more than once. Whom it
    /// refuses has guessed nothing.
    pub(crate) async fn guess_by(
        &self,
        start: GuessStart,
        who: impl Fn(&mut dyn Sql) -> Result<Result<Option<AccountId>, Refusal>, DbError>
        + Send
        + 'static,
    ) -> Result<Evaluated, Refusal> {
        let GuessStart {
            record: name,
            suite: suite_number,
            which,
            ke1,
        } = start;
        suite::check(suite_number).map_err(|_| Code::UnsupportedSuite)?;
        let request = evaluate::request(&ke1).map_err(|_| Code::BadRequest)?;
        // One that could not be evaluated is not counted either.
        self.with_keys(|keys| keys.probe()).await?;
        let session = random();
        let (now, standing) = (self.now(), self.standing());
        // From here on only what is known to be durable is answered.
        let shard = Some(shard(&name));
        let due = self.scrub_due.clone();
        let counted = db::run_in(&*self.database, shard, move |sql| {
            let account = match who(sql)? {
                Ok(account) => account,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if which == Which::Pending && account.is_none() {
                return Ok(Err(Code::SignInNeeded.into()));
            }
            let guess = Guess {
                name,
                account,
                session,
                now,
                standing,
            };
            let counted = guess::count(sql, &guess)?;
            if matches!(counted, Counted::Destroyed) {
                // Here too: whoever asked may not wait for the answer.
                due.ask();
            }
            Ok(Ok((counted, account)))
        });
        let (counted, account) = counted.await??;
        let record = match counted {
            Counted::Yes(record) => {
                self.metrics.guessed(Guessed::Counted);
                record
            }
            Counted::Wait(ms) => {
                let wait = Problem::from(Code::Wait).retry_after(ms.div_ceil(1000).max(1));
                return Err(wait.into());
            }
            Counted::LockedOut => return Err(Code::LockedOut.into()),
            Counted::Destroyed => {
                self.scrub_due.ask();
                return Err(Code::Destroyed.into());
            }
        };
        let counted = CountedGuess {
            name,
            suite: suite_number,
            pending: which == Which::Pending,
            ke1,
            session,
            account,
        };
        self.evaluate(counted, request, &record)
            .await
            .map_err(Refusal::after_count)
    }

    /// Evaluates what was counted. Whatever fails here has cost a guess.
    async fn evaluate(
        &self,
        counted: CountedGuess,
        request: CredentialRequest<suite::V1>,
        record: &Record,
    ) -> Result<Evaluated, Refusal> {
        let CountedGuess {
            name,
            suite: suite_number,
            pending,
            ke1,
            session,
            account,
        } = counted;
        let (version, stored) = self.stored(&name, record, pending, account).await?;
        let opening = random();
        let commitment = Commitment {
            opening: &opening,
            record: &name,
            version,
            number: record.total,
        }
        .digest();
        let identity = self.keys.identity().public().to_bytes();
        let context = suite::context(suite_number, &name, &identity, &session, &commitment);
        let (ke2, login) = evaluate::evaluate(&*self.keys, stored, request, &name, &context)
            .map_err(|_| Refusal::internal(&"a record could not be evaluated"))?;
        let waiting = Session {
            record: name,
            suite: suite_number,
            version,
            number: record.total,
            pending,
            opening,
            login,
        };
        if record.state == State::Final {
            let (plain, total) = (waiting.to_bytes(), record.total);
            let seal = move |keys: &dyn ServerKeys| keys.seal(&of_session(&name, total), &plain);
            let sealed = self.with_keys(seal).await?;
            let sealed = [record.total.to_be_bytes().to_vec(), sealed].concat();
            self.run(move |sql| guess::keep_session(sql, &name, &session, &sealed))
                .await?;
        }
        self.guesses.put(session, waiting, self.now());
        let statement = EvaluatedStatement {
            record: &name,
            ke1: &ke1,
            session: &session,
            ke2: &ke2,
            commitment: &commitment,
        };
        let signature = statement.sign(self.keys.identity());
        Ok(Evaluated {
            session,
            ke2,
            commitment,
            signature,
        })
    }

    /// What is evaluated: the version that was asked for, or a fake.
    async fn stored(
        &self,
        name: &RecordName,
        record: &Record,
        pending: bool,
        account: Option<AccountId>,
    ) -> Result<(u32, evaluate::Stored), Refusal> {
        let is_owner = account.is_some() && record.account == account;
        let (version, sealed) = match (pending, is_owner) {
            (false, _) => (record.version, record.sealed.as_ref()),
            (true, true) => (record.pending_version, record.pending_sealed.as_ref()),
            (true, false) => (0, None),
        };
        let Some(sealed) = sealed else {
            let material = self.keys.fake_material(name);
            let fake = evaluate::Stored {
                material,
                upload: None,
            };
            // What a known name costs, where that can be told.
            self.with_keys(|keys| keys.probe()).await?;
            return Ok((version, fake));
        };
        let (name, sealed) = (*name, sealed.clone());
        let open = move |keys: &dyn ServerKeys| keys.open(&of_version(&name, version), &sealed);
        let plain = self.with_keys(open).await?;
        let stored = evaluate::Stored::parse(&plain)
            .map_err(|_| Refusal::internal(&"a record makes no sense"))?;
        Ok((version, stored))
    }

    /// Gives the guesses back to whoever proves the password. Each session is looked at once.
    pub(crate) async fn prove(&self, proof: Proof) -> Result<Proved, Refusal> {
        let Proof { session, ke3 } = proof;
        let now = self.now();
        let (until, waiting) = match self.guesses.take_until(&session, now) {
            Some((until, waiting)) => (Some(until), waiting),
            // It stays in its row until it is proven.
            None => (None, self.kept(session).await?.ok_or(Code::NotProven)?),
        };
        let Session {
            record: name,
            suite,
            version,
            number,
            pending,
            opening,
            login,
        } = waiting;
        let commitment = Commitment {
            opening: &opening,
            record: &name,
            version,
            number,
        }
        .digest();
        let identity = self.keys.identity().public().to_bytes();
        let context = suite::context(suite, &name, &identity, &session, &commitment);
        let again = login.clone();
        if !evaluate::is_proof(login, &ke3, &name, &context) {
            return Err(Code::NotProven.into());
        }
        let to_count = Proven {
            name,
            session,
            version,
            number,
            pending,
            now,
        };
        let proving = db::run_in(&*self.database, Some(shard(&name)), move |sql| {
            guess::prove(sql, &to_count)
        })
        .await;
        if let (Err(StoreError::Failed(_)), Some(until)) = (&proving, until) {
            // Nothing happened: the same proof may come again. Where that is not known it may not.
            let waiting = Session {
                record: name,
                suite,
                version,
                number,
                pending,
                opening,
                login: again,
            };
            self.guesses.put_back(session, (until, waiting), self.now());
        }
        let record = proving?.ok_or(Code::NotProven)?;
        let mut proved = Proved {
            version,
            number,
            opening,
            failed: record.failed,
            log_length: record.log_length,
            log_hash: record.log_hash,
            signature: Fixed([0; 64]),
        };
        proved.signature = ProvedStatement {
            record: &name,
            session: &session,
            proved: &proved,
        }
        .sign(self.keys.identity());
        Ok(proved)
    }

    /// The session of a last guess, after a restart.
    async fn kept(&self, session: Fixed<16>) -> Result<Option<Session>, Refusal> {
        let kept = self
            .run(move |sql| guess::kept_session(sql, &session))
            .await?;
        let Some((name, bytes)) = kept else {
            return Ok(None);
        };
        let Some((number, sealed)) = bytes.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let (number, sealed) = (u64::from_be_bytes(*number), sealed.to_vec());
        let open = move |keys: &dyn ServerKeys| keys.open(&of_session(&name, number), &sealed);
        let plain = self.with_keys(open).await?;
        Ok(Session::parse(name, &plain))
    }
}

impl Session {
    /// `suite ‖ version ‖ number ‖ pending ‖ opening ‖ OPAQUE's state`.
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self {
            record: _,
            suite,
            version,
            number,
            pending,
            opening,
            login,
        } = self;
        let mut bytes = Zeroizing::new(Vec::with_capacity(256));
        bytes.extend_from_slice(&suite.to_be_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.push(u8::from(*pending));
        bytes.extend_from_slice(opening.as_bytes());
        bytes.extend_from_slice(&login.serialize());
        bytes
    }

    fn parse(record: RecordName, bytes: &[u8]) -> Option<Self> {
        let (suite, rest) = bytes.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (pending, rest) = rest.split_first()?;
        let (opening, login) = rest.split_first_chunk()?;
        Some(Self {
            record,
            suite: u16::from_be_bytes(*suite),
            version: u32::from_be_bytes(*version),
            number: u64::from_be_bytes(*number),
            pending: *pending == 1,
            opening: Fixed(*opening),
            login: ServerLogin::deserialize(login).ok()?,
        })
    }
}
