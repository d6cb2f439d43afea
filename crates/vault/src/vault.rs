//! The vault itself: requests in, answers out; no HTTP, no files.

mod due;
mod evaluate;
mod guess;
mod look;
mod register;

pub(crate) use self::guess::{SESSION, of_version};

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use heirloom_vault_api::{
    AccountId, Code, Fixed, LogPage, LogRead, RecordStatus, StatusRead, TenantName, VaultInfo,
    WitnessPut, WitnessRead, WitnessStatement, Witnessed, suite,
};
use rand_core::Rng as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use self::due::{MayDestroy, ScrubDue};
use self::look::Look;
use crate::clock::Clock;
use crate::db::{self, Database, DbError, Sql};
use crate::generation::Standing;
use crate::keys::{Custody, KeysError, Place, RotateError, ServerKeys};
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::sessions::Sessions;
use crate::store::record::{
    GUESSES, LIFETIME, Record, STRANGERS_GUESSES, STRANGERS_LIFETIME, State,
};
use crate::store::repeat::{self, Known, Once};
use crate::store::{log, operator, sweep, witness};

/// How long a registration may take.
const REGISTRATION_MS: u64 = 300_000;

/// Threads that wait for an HSM at a time. It does one thing after another; threads are also what reads objects, and
/// there are a few hundred.
pub(crate) const ASKING: usize = 64;
/// For one of them.
const ASKING_TIME: Duration = Duration::from_secs(10);

/// A vault over a database and the server's keys.
#[derive(Debug)]
pub(crate) struct Vault {
    database: Arc<dyn Database>,
    keys: Arc<dyn ServerKeys>,
    clock: Arc<dyn Clock>,
    standing: Mutex<Standing>,
    guesses: Sessions<guess::Session>,
    registrations: Sessions<register::Registration>,
    metrics: Arc<Metrics>,
    asking: Arc<Semaphore>,
    looks: Looks,
    scrub_due: ScrubDue,
    /// Sweeps until names that nobody registered are counted again.
    pub(crate) until_count: AtomicU64,
}

/// What is looked at for those who ask whether this server is ready.
#[derive(Debug, Default)]
struct Looks {
    answers: Look,
    writes: Look,
    keys: Look,
}

/// The server's random source.
pub(crate) fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// `N` random bytes.
pub(crate) fn random<const N: usize>() -> Fixed<N> {
    let mut bytes = [0; N];
    rng().fill_bytes(&mut bytes);
    Fixed(bytes)
}

impl Vault {
    pub(crate) fn new(
        database: Arc<dyn Database>,
        keys: Arc<dyn ServerKeys>,
        clock: Arc<dyn Clock>,
        standing: Standing,
    ) -> Self {
        let metrics = Metrics::new();
        database.watch(&metrics);
        Self {
            database,
            keys,
            clock,
            standing: Mutex::new(standing),
            guesses: Sessions::new(crate::store::record::FINAL_MS),
            registrations: Sessions::new(REGISTRATION_MS),
            metrics,
            asking: Arc::new(Semaphore::new(ASKING)),
            looks: Looks::default(),
            scrub_due: ScrubDue::at_start(),
            until_count: AtomicU64::new(0),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The server's secrets.
    pub(crate) fn keys(&self) -> &Arc<dyn ServerKeys> {
        &self.keys
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The same, with little patience.
    #[cfg(test)]
    pub(crate) fn hasty(mut self) -> Self {
        let look = || Look::within(Duration::from_millis(50));
        self.looks = Looks {
            answers: look(),
            writes: look(),
            keys: look(),
        };
        self
    }

    /// Whether the database answers. In a bounded time, as all three.
    pub(crate) async fn answers(self: &Arc<Self>) -> bool {
        let (vault, now) = (Arc::clone(self), self.now());
        let read = async move { vault.run(move |sql| sweep::passed(sql, now)).await.is_ok() };
        self.looks.answers.ask(read).await
    }

    /// Whether the database takes a write that changes nothing, durably.
    pub(crate) async fn is_writable(self: &Arc<Self>) -> bool {
        let vault = Arc::clone(self);
        let write = async move { vault.run(sweep::touch).await.is_ok() };
        self.looks.writes.ask(write).await
    }

    /// Uses the server's keys: on a thread of its own where they are in an HSM, so that one that hangs does not hold
    /// up those who need none. Whatever seals, opens or counts keys goes this way.
    pub(crate) async fn with_keys<T: Send + 'static>(
        &self,
        act: impl FnOnce(&dyn ServerKeys) -> Result<T, KeysError> + Send + 'static,
    ) -> Result<T, KeysError> {
        if self.keys.custody() == Custody::File {
            return act(&*self.keys);
        }
        let place = Arc::clone(&self.asking).acquire_owned();
        let place = tokio::time::timeout(ASKING_TIME, place).await;
        let place = place.map_err(|_| KeysError)?.map_err(|_| KeysError)?;
        let keys = Arc::clone(&self.keys);
        let done = tokio::task::spawn_blocking(move || {
            // The thread's, not the request's: that may be gone long before.
            let _place = place;
            act(&*keys)
        });
        done.await.map_err(|_| KeysError)?
    }

    /// Changes the wrapping keys, always on a thread of its own: the key file is written durably.
    pub(crate) async fn change_keys(
        &self,
        change: impl FnOnce(&dyn ServerKeys) -> Result<(), RotateError> + Send + 'static,
    ) -> Result<(), RotateError> {
        let keys = Arc::clone(&self.keys);
        let done = tokio::task::spawn_blocking(move || change(&*keys));
        done.await.map_err(std::io::Error::other)?
    }

    /// Whether the server's keys seal and open: an HSM may have gone.
    pub(crate) async fn has_keys(self: &Arc<Self>) -> bool {
        let vault = Arc::clone(self);
        let seals = async move {
            let sealed = vault.with_keys(|keys| {
                let place = Place {
                    column: "ready",
                    record: &Fixed([0; 16]),
                    version: 0,
                };
                keys.open(&place, &keys.seal(&place, &[])?)
            });
            sealed.await.is_ok()
        };
        self.looks.keys.ask(seals).await
    }

    pub(crate) fn standing(&self) -> Standing {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn accepted(&self, generation: u64) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.accepted = generation;
    }

    /// Whether the server's keys open what the database holds. Under those of another database every guess would count
    /// and none could be evaluated, until the passwords are gone.
    pub(crate) async fn has_its_keys(&self) -> Result<bool, Refusal> {
        let Some((name, version, sealed)) = self.run(operator::any_sealed).await? else {
            return Ok(true);
        };
        let open = move |keys: &dyn ServerKeys| {
            Ok(keys.open(&of_version(&name, version), &sealed).is_ok())
        };
        Ok(self.with_keys(open).await?)
    }

    /// Runs an operation of the store.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&mut dyn Sql) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, Refusal> {
        Ok(db::run(&*self.database, work).await?)
    }

    /// Runs an operation of the store once for each request that has a key: when the same request comes again
    /// within a day, its first answer is given. Only successes are kept.
    pub(crate) async fn run_once<T, E>(
        &self,
        once: Option<Arc<Once>>,
        work: impl Fn(&mut dyn Sql) -> Result<Result<T, E>, DbError> + Send + 'static,
    ) -> Result<T, Refusal>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Into<Refusal> + Send + 'static,
    {
        let Some(once) = once else {
            return self.run(work).await?.map_err(Into::into);
        };
        let now = self.now();
        let done = self.run(move |sql| {
            let answered = match repeat::claim(sql, &once, now)? {
                Known::Another => return Ok(None),
                Known::Answered(json) => Some(json),
                Known::New => None,
            };
            if let Some(json) = answered {
                let value = serde_json::from_slice(&json).map_err(|_| DbError::Impossible)?;
                return Ok(Some(Ok(value)));
            }
            let done = work(sql)?;
            match &done {
                Ok(value) => {
                    let json = serde_json::to_vec(value).map_err(|_| DbError::Impossible)?;
                    repeat::keep(sql, &once, &Zeroizing::new(json))?;
                }
                Err(_) => repeat::give_up(sql, &once)?,
            }
            Ok(Some(done))
        });
        done.await?.ok_or(Code::KeyReused)?.map_err(Into::into)
    }

    /// The answer that this request got before, where it has one.
    pub(crate) async fn repeated<T: DeserializeOwned>(
        &self,
        once: Option<&Arc<Once>>,
    ) -> Result<Option<T>, Refusal> {
        let Some(once) = once else {
            return Ok(None);
        };
        let (once, now) = (Arc::clone(once), self.now());
        let known = self.run(move |sql| {
            sql.barrier()?;
            repeat::find(sql, &once, now)
        });
        match known.await? {
            Known::New => Ok(None),
            Known::Another => Err(Code::KeyReused.into()),
            Known::Answered(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|_| Refusal::internal(&"a kept answer makes no sense")),
        }
    }

    /// Empties what destroyed keys may still lie in. What fails stays due.
    pub(crate) async fn scrub(&self) -> bool {
        let asked = self.scrub_due.asked();
        let is_done = self.database.scrub().await.unwrap_or(false);
        if is_done {
            self.scrub_due.is_done(asked);
        }
        is_done
    }

    /// The same, where keys may have been destroyed since it was done.
    pub(crate) async fn scrub_if_due(&self) -> bool {
        !self.scrub_due.is_due() || self.scrub().await
    }

    /// To be held while keys may be destroyed.
    pub(crate) fn may_destroy(&self) -> MayDestroy {
        self.scrub_due.may_destroy()
    }

    /// A keyed hash of whom a messenger vouches for.
    pub(crate) fn subject(&self, tenant: &TenantName, subject: &str) -> [u8; 32] {
        self.keys.subject(tenant.as_str(), subject)
    }

    /// What clients pin.
    pub(crate) fn info(&self) -> VaultInfo {
        VaultInfo {
            identity: self.keys.identity().public().to_bytes(),
            suites: (suite::FLOOR..=suite::NEWEST).collect(),
            guesses: GUESSES,
            strangers_guesses: STRANGERS_GUESSES,
        }
    }

    /// How many guesses are left, for the owner.
    pub(crate) async fn status(
        &self,
        read: StatusRead,
        account: AccountId,
    ) -> Result<RecordStatus, Refusal> {
        let StatusRead { record: name } = read;
        let found = self
            .run(move |sql| {
                sql.barrier()?;
                Record::of_owner(sql, &name, &account)
            })
            .await?;
        let record = found.ok_or(Code::NotFound)?;
        let now = self.now();
        let is_over = match record.state {
            State::Live => false,
            State::Final => record.deadline <= now,
            State::Destroyed => true,
        };
        let left = |most: u32, life: u32| {
            let left = most.saturating_sub(record.guesses);
            if record.state == State::Live {
                left.min(life.saturating_sub(record.lifetime))
            } else {
                0
            }
        };
        Ok(RecordStatus {
            version: record.sealed.as_ref().map(|_| record.version),
            pending: record
                .pending_sealed
                .as_ref()
                .map(|_| record.pending_version),
            destroyed: is_over,
            guesses: record.guesses,
            left: left(GUESSES, LIFETIME),
            left_for_strangers: left(STRANGERS_GUESSES, STRANGERS_LIFETIME),
            wait_s: record.not_before.saturating_sub(now).div_ceil(1000),
            lifetime_left: LIFETIME.saturating_sub(record.lifetime),
            log_length: record.log_length,
            log_hash: record.log_hash,
        })
    }

    /// A page of a record's log, for the owner.
    pub(crate) async fn log(&self, read: LogRead, account: AccountId) -> Result<LogPage, Refusal> {
        let LogRead { record: name, from } = read;
        let entries = self
            .run(move |sql| {
                sql.barrier()?;
                let Some(_) = Record::of_owner(sql, &name, &account)? else {
                    return Ok(None);
                };
                log::read(sql, &name, from).map(Some)
            })
            .await?
            .ok_or(Code::NotFound)?;
        Ok(LogPage { entries })
    }

    /// Advances a lineage and says what is there now, signed.
    pub(crate) async fn advance(
        &self,
        put: WitnessPut,
        account: AccountId,
        once: Option<Arc<Once>>,
    ) -> Result<Witnessed, Refusal> {
        let most = u64::try_from(i64::MAX).unwrap_or(u64::MAX);
        if put.sequence == 0 || put.sequence > most || put.keyring_number > most {
            return Err(Code::BadRequest.into());
        }
        let nonce = put.nonce;
        let advanced = self
            .run_once(once, move |sql| {
                Ok(witness::advance(sql, &account, &put)?.ok_or(Code::Conflict))
            })
            .await?;
        Ok(self.sign(advanced, &nonce))
    }

    /// What is there now, signed over the client's nonce.
    ///
    /// Read behind the barrier: a stale copy of the database does not answer.
    pub(crate) async fn witness(
        &self,
        read: WitnessRead,
        account: AccountId,
    ) -> Result<Witnessed, Refusal> {
        let WitnessRead { lineage, nonce } = read;
        let found = self
            .run(move |sql| {
                sql.barrier()?;
                witness::read(sql, &account, &lineage)
            })
            .await?;
        Ok(self.sign(found, &nonce))
    }

    fn sign(&self, mut witnessed: Witnessed, nonce: &Fixed<32>) -> Witnessed {
        witnessed.signature = WitnessStatement {
            nonce,
            witnessed: &witnessed,
        }
        .sign(self.keys.identity());
        witnessed
    }
}
