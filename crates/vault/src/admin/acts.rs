//! Does what an operator asks for. What changes anything is written into the operators' log in the same transaction.

use heirloom_vault_api::{AccountId, Invite, RecordName, TenantName};

use super::wire::{ActInfo, Answer, Ask, AuditInfo, KeysInfo, LockInfo, StatsInfo, UserInfo};
use super::{Admin, AdminError};
use crate::db::{DbError, Sql};
use crate::keys::Custody;
use crate::store::operator::{Figures, Locked, User};
use crate::store::{account, act, operator, sweep};
use crate::vault::random;

/// Records of one answer that are named as wrong.
const MOST_WRONG: usize = 100;

impl Admin {
    /// Does it, or says why not.
    pub async fn answer(&self, ask: Ask) -> Answer {
        let answered = self.try_answer(ask).await;
        answered.unwrap_or_else(|error| Answer::Failed {
            why: error.to_string(),
        })
    }

    async fn try_answer(&self, ask: Ask) -> Result<Answer, AdminError> {
        match ask {
            Ask::Users { after } => self.users(after).await,
            Ask::User { account } => self.user(account).await,
            Ask::Quota {
                account,
                quota_bytes,
            } => {
                let detail = format!("{} {quota_bytes}", account.to_text());
                self.change("quota", detail, move |sql, _| {
                    let found = operator::quota(sql, &account, quota_bytes)?;
                    Ok(found.then_some(true))
                })
                .await
            }
            Ask::Disable { account, disabled } => {
                let act = if disabled { "disable" } else { "enable" };
                self.change(act, account.to_text(), move |sql, now| {
                    operator::disable(sql, &account, disabled, now)
                })
                .await
            }
            Ask::Delete { account } => {
                let destroys = self.vault.may_destroy();
                let answer = self
                    .change("delete", account.to_text(), move |sql, now| {
                        let deleted = operator::delete(sql, &account, now)?;
                        Ok(deleted.then_some(true))
                    })
                    .await?;
                // Keys of its passwords must not stay in the write-ahead log until the next sweep.
                drop(destroys);
                self.vault.scrub().await;
                Ok(answer)
            }
            Ask::Invite { tenant } => self.told_invite(tenant).await,
            Ask::Locks { after } => self.locks(after).await,
            Ask::AcceptRestore => self.accept().await,
            Ask::Verify => self.audit().await,
            Ask::Acts { after } => {
                let acts = self.vault.run(move |sql| act::read(sql, after)).await?;
                let acts = acts.into_iter().map(act_info).collect();
                Ok(Answer::Acts { acts })
            }
            Ask::Keys => Ok(Answer::Keys(self.keys_info().await?)),
            Ask::RotateKeys => self.rotate_keys().await,
            Ask::Stats => self.stats().await,
        }
    }

    /// An act on an account, with its entry in the log where it changes anything.
    async fn change(
        &self,
        act: &'static str,
        detail: String,
        work: impl Fn(&mut dyn Sql, u64) -> Result<Option<bool>, DbError> + Send + 'static,
    ) -> Result<Answer, AdminError> {
        let now = self.vault.now();
        let changed = self
            .vault
            .run(move |sql| {
                let changed = work(sql, now)?;
                if changed == Some(true) {
                    act::append(sql, act, &detail, now)?;
                }
                Ok(changed)
            })
            .await?;
        Ok(changed.map_or(Answer::NoAccount, |changed| Answer::Done { changed }))
    }

    async fn users(&self, after: Option<AccountId>) -> Result<Answer, AdminError> {
        let after = after.map_or_else(Vec::new, |after| after.0.to_vec());
        let users = self
            .vault
            .run(move |sql| operator::users(sql, &after))
            .await?;
        let more = is_full(users.len());
        let users = users.into_iter().map(user_info).collect();
        Ok(Answer::Users { users, more })
    }

    async fn user(&self, account: AccountId) -> Result<Answer, AdminError> {
        let found = self
            .vault
            .run(move |sql| {
                let passwords = operator::records(sql, &account)?.len();
                Ok((operator::find(sql, &account)?, passwords))
            })
            .await?;
        let (Some(user), passwords) = found else {
            return Ok(Answer::NoAccount);
        };
        Ok(Answer::User {
            user: user_info(user),
            passwords: u64::try_from(passwords).unwrap_or(u64::MAX),
        })
    }

    async fn told_invite(&self, tenant: Option<TenantName>) -> Result<Answer, AdminError> {
        let invite = Invite(random());
        let (given, now) = (invite.clone(), self.vault.now());
        self.vault
            .run(move |sql| {
                account::invite(sql, &given, None, tenant.as_ref(), now)?;
                let of = tenant.as_ref().map_or("", TenantName::as_str);
                act::append(sql, "invite", of, now)
            })
            .await?;
        Ok(Answer::Invited { invite })
    }

    async fn locks(&self, after: Option<RecordName>) -> Result<Answer, AdminError> {
        let now = self.vault.now();
        let locks = self
            .vault
            .run(move |sql| operator::locked(sql, after.as_ref(), now))
            .await?;
        let more = is_full(locks.len());
        let locks = locks.iter().map(lock_info).collect();
        Ok(Answer::Locks { locks, more })
    }

    async fn accept(&self) -> Result<Answer, AdminError> {
        if !self.is_restored() {
            return Ok(Answer::Done { changed: false });
        }
        let now = self.vault.now();
        let generation = self
            .vault
            .run(move |sql| {
                let generation = sweep::accept(sql)?;
                act::append(sql, "accept-restore", &generation.to_string(), now)?;
                Ok(generation)
            })
            .await?;
        self.vault.accepted(generation);
        Ok(Answer::Done { changed: true })
    }

    async fn audit(&self) -> Result<Answer, AdminError> {
        let verdict = self.verify().await?;
        let (head, acts_wrong_from) = self
            .vault
            .run(|sql| Ok((act::head(sql)?, act::verify(sql)?)))
            .await?;
        let (acts, acts_hash) = head;
        Ok(Answer::Audit(AuditInfo {
            logs: verdict.logs,
            wrong: verdict.wrong.into_iter().take(MOST_WRONG).collect(),
            acts,
            acts_hash,
            acts_wrong_from,
        }))
    }

    async fn keys_info(&self) -> Result<KeysInfo, AdminError> {
        let count = self.vault.with_keys(|keys| Ok(keys.wrapping_keys()));
        let count = count
            .await
            .map_err(|_| AdminError("the HSM does not answer".to_owned()))?;
        let progress = self.rotation.progress();
        let custody = match self.vault.keys().custody() {
            Custody::File => "file",
            Custody::Hsm => "hsm",
        };
        Ok(KeysInfo {
            custody: custody.to_owned(),
            wrapping_keys: u64::try_from(count).unwrap_or(u64::MAX),
            wrapped: progress.wrapped,
            unreadable: progress.unreadable,
        })
    }

    async fn rotate_keys(&self) -> Result<Answer, AdminError> {
        let now = self.vault.now();
        // First the entry: a key that was changed without one must not be.
        self.vault
            .run(move |sql| act::append(sql, "rotate-keys", "", now))
            .await?;
        let rotated = self.vault.change_keys(|keys| keys.rotate()).await;
        rotated.map_err(|error| AdminError(error.to_string()))?;
        Ok(Answer::Done { changed: true })
    }

    async fn stats(&self) -> Result<Answer, AdminError> {
        let Figures {
            accounts,
            disabled,
            sign_ins,
            passwords,
            locked,
            destroyed,
            unknown_names,
            objects,
            object_bytes,
            deleted_objects,
        } = self.vault.run(operator::figures).await?;
        let standing = self.vault.standing();
        let rollout = self.rollout.standing();
        Ok(Answer::Stats(StatsInfo {
            accounts,
            disabled,
            devices: sign_ins,
            passwords,
            locked,
            destroyed,
            unknown_names,
            objects,
            object_bytes,
            deleted_objects,
            restores: standing.generation.saturating_sub(1),
            restore_waits: !standing.is_accepted(),
            rollout_version: rollout.version,
            rollout_fault: rollout.fault,
        }))
    }
}

fn is_full(found: usize) -> bool {
    u64::try_from(found).is_ok_and(|found| found == operator::PAGE)
}

fn user_info(user: User) -> UserInfo {
    let User {
        account,
        tenant,
        created,
        used_bytes,
        quota_bytes,
        disabled,
        devices,
        objects,
    } = user;
    UserInfo {
        account,
        tenant,
        created_ms: created,
        used_bytes,
        quota_bytes,
        disabled_ms: disabled,
        devices,
        objects,
    }
}

fn lock_info(locked: &Locked) -> LockInfo {
    let Locked {
        account,
        name,
        state,
        guesses,
        lifetime,
        not_before,
        deadline,
    } = *locked;
    let state = match state {
        1 => "live",
        2 => "final",
        _ => "destroyed",
    };
    LockInfo {
        record: name,
        account,
        state: state.to_owned(),
        guesses,
        lifetime,
        not_before_ms: not_before.max(deadline),
    }
}

fn act_info(act: act::Entry) -> ActInfo {
    let act::Entry {
        sequence,
        time_ms,
        act,
        detail,
    } = act;
    ActInfo {
        sequence,
        time_ms,
        act,
        detail,
    }
}
