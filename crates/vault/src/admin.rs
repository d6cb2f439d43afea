//! What the operator does.

mod acts;
#[cfg(unix)]
pub(crate) mod socket;
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use heirloom_vault_api::{Invite, RecordName};

use crate::blobs::Blobs;
use crate::db::{DbError, Sql};
use crate::refusal::Refusal;
use crate::rollout::Rollout;
use crate::rotation::{Rotation, Step};
use crate::store::operator::after_key;
use crate::store::{account, log, sweep};
use crate::vault::{Vault, random};

pub use self::wire::{ActInfo, Answer, Ask, AuditInfo, KeysInfo, LockInfo, StatsInfo, UserInfo};

/// An act of the operator that was not done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AdminError(String);

impl From<Refusal> for AdminError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.line.unwrap_or(refusal.problem.title))
    }
}

/// What a look at all logs found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Logs that were walked.
    pub logs: u64,
    /// Records whose log lacks an entry or was altered.
    pub wrong: Vec<RecordName>,
}

/// The operator's acts on a running vault.
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) vault: Arc<Vault>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) rollout: Arc<Rollout>,
    pub(crate) rotation: Arc<Rotation>,
}

// In the table's order: by name alone, each page would walk the whole table.
pub(crate) const NAMES: &str = "SELECT name FROM vault_record WHERE (shard, name) > ($1, $2) \
     ORDER BY shard, name LIMIT 100";

/// Sweeps from one count of names that nobody registered to the next: it walks them all, and requests wait.
const COUNTS: u64 = 6;
/// Of these names, so many go in one transaction, and so many times in one sweep: a thousand a second, which is more
/// than come in, and what else time has made due waits no longer than that.
const BATCH: u64 = 500;
const BATCHES: u32 = 20;

fn names(sql: &mut dyn Sql, after: Option<&RecordName>) -> Result<Vec<RecordName>, DbError> {
    sql.query(NAMES, &after_key(after))?
        .into_iter()
        .map(|mut row| row.fixed()?.ok_or(DbError::Impossible))
        .collect()
}

impl Admin {
    /// Invites somebody to a new account. The code is told once, and good for a day.
    pub async fn invite(&self) -> Result<Invite, AdminError> {
        let invite = Invite(random());
        let (given, now) = (invite.clone(), self.vault.now());
        self.vault
            .run(move |sql| account::invite(sql, &given, None, None, now))
            .await?;
        Ok(invite)
    }

    /// Whether the database was put back and nobody accepted it yet: strangers cannot guess until then.
    pub fn is_restored(&self) -> bool {
        !self.vault.standing().is_accepted()
    }

    /// Takes a restored database as it is: guesses that were made since its copy was taken are forgotten.
    pub async fn accept_restore(&self) -> Result<(), AdminError> {
        let generation = self.vault.run(sweep::accept).await?;
        self.vault.accepted(generation);
        Ok(())
    }

    /// Walks every record's log.
    pub async fn verify(&self) -> Result<Verdict, AdminError> {
        let mut verdict = Verdict {
            logs: 0,
            wrong: Vec::new(),
        };
        let mut after = None;
        loop {
            let page = self
                .vault
                .run(move |sql| names(sql, after.as_ref()))
                .await?;
            let Some(last) = page.last() else {
                return Ok(verdict);
            };
            after = Some(*last);
            for name in page {
                let fault = self.vault.run(move |sql| log::verify(sql, &name)).await?;
                verdict.logs += 1;
                if fault.is_some() {
                    verdict.wrong.push(name);
                }
            }
        }
    }

    /// Wraps a few values under the newest wrapping key; says whether there are more. `uptime_ms` is of a clock
    /// that nobody sets.
    pub(crate) async fn rewrap(&self, uptime_ms: u64) -> Result<bool, AdminError> {
        Ok(self.rotation.step(&self.vault, uptime_ms).await? == Step::More)
    }

    /// Drops the oldest rows of names that nobody registered, until there are `most`, or it is the next sweep's turn.
    pub(crate) async fn drop_unknown(&self, most: u64) -> Result<(), AdminError> {
        let until = &self.vault.until_count;
        let waited = until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        if waited.is_ok() {
            return Ok(());
        }
        let counted = self
            .vault
            .run(move |sql| sweep::superfluous(sql, most))
            .await?;
        let mut beyond = counted;
        for _ in 0..BATCHES {
            let batch = beyond.min(BATCH);
            if batch == 0 {
                break;
            }
            self.vault
                .run(move |sql| sweep::drop_oldest(sql, batch))
                .await?;
            beyond -= batch;
        }
        if beyond == 0 {
            until.store(COUNTS - 1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Does what time has made due: destroys, forgets, frees. [`crate::Server`] does it every ten seconds.
    pub async fn sweep(&self) -> Result<(), AdminError> {
        let now = self.vault.now();
        // A server that nobody asks anything notices a database that was put back only by what it wrote itself.
        self.vault.run(sweep::touch).await?;
        let passed = self.vault.run(move |sql| sweep::passed(sql, now)).await?;
        for name in passed {
            let _destroys = self.vault.may_destroy();
            self.vault
                .run(move |sql| sweep::destroy(sql, &name, now))
                .await?;
        }
        if !self.vault.scrub_if_due().await {
            return Err(AdminError("the write-ahead log was not emptied".to_owned()));
        }
        // Neither keeps the other from being done, and both come last: a storage that is away keeps nothing from being
        // destroyed.
        let dropped = self.drop_unknown(sweep::SHADOWS).await;
        self.blobs.sweep(&self.vault, now).await?;
        dropped
    }
}
