//! What goes over the operator's socket: one line of JSON asks, one answers.

use heirloom_vault_api::{AccountId, Fixed, Invite, TenantName};
use serde::{Deserialize, Serialize};

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Ask {
    /// A page of accounts.
    Users {
        /// The last account that is known.
        after: Option<AccountId>,
    },
    /// One account.
    User {
        /// Which.
        account: AccountId,
    },
    /// Another quota.
    Quota {
        /// Whose.
        account: AccountId,
        /// Bytes of objects. What is stored already stays.
        quota_bytes: u64,
    },
    /// Refuses an account's sign-ins, or takes them again. Nothing is deleted.
    Disable {
        /// Whose.
        account: AccountId,
        /// Whether to refuse.
        disabled: bool,
    },
    /// Deletes an account. Its passwords are destroyed at once, its objects after the grace.
    Delete {
        /// Which.
        account: AccountId,
    },
    /// Invites somebody to a new account.
    Invite {
        /// Of which tenant; else the first one.
        tenant: Option<TenantName>,
    },
    /// A page of passwords that are locked to somebody, or wait.
    Locks {
        /// The last one that is known.
        after: Option<Fixed<16>>,
    },
    /// Takes a database that was put back as it is.
    AcceptRestore,
    /// Walks every log.
    Verify,
    /// A page of what operators did.
    Acts {
        /// Entries that are known.
        after: u64,
    },
    /// Where the wrapping key lies and how far its change is.
    Keys,
    /// Begins to change the wrapping key.
    RotateKeys,
    /// How much of everything there is.
    Stats,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserInfo {
    /// Its id.
    pub account: AccountId,
    /// Whose user it is, where the server has several tenants.
    pub tenant: Option<String>,
    /// When it was opened, in milliseconds since 1970.
    pub created_ms: u64,
    /// Bytes of objects.
    pub used_bytes: u64,
    /// How many it may have.
    pub quota_bytes: u64,
    /// Since when its sign-ins are refused.
    pub disabled_ms: Option<u64>,
    /// Sign-ins.
    pub devices: u64,
    /// Objects.
    pub objects: u64,
}

/// A password that is locked to somebody, or waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    /// Its record's name. Whoever knows it can guess: show it to nobody.
    pub record: Fixed<16>,
    /// Whose.
    pub account: AccountId,
    /// `live`, `final` or `destroyed`.
    pub state: String,
    /// Guesses since the last proof.
    pub guesses: u64,
    /// Unproven guesses in its life.
    pub lifetime: u64,
    /// No guess before this time, in milliseconds since 1970.
    pub not_before_ms: u64,
}

/// What a walk through all logs found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditInfo {
    /// Logs of passwords that were walked.
    pub logs: u64,
    /// Names of records whose log lacks an entry or was altered, at most 100.
    pub wrong: Vec<Fixed<16>>,
    /// Entries of the operators' log.
    pub acts: u64,
    /// Its hash. Noted elsewhere, it shows later that nothing before it was removed.
    pub acts_hash: Fixed<32>,
    /// The first entry of it that is missing or altered; an altered one shows at the end.
    pub acts_wrong_from: Option<u64>,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActInfo {
    /// 1, 2, 3, ….
    pub sequence: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// What.
    pub act: String,
    /// With what.
    pub detail: String,
}

/// Where the wrapping key lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysInfo {
    /// `file` or `hsm`.
    pub custody: String,
    /// More than one: values under the old one are being wrapped anew.
    pub wrapping_keys: u64,
    /// Values that were wrapped anew since the server started.
    pub wrapped: u64,
    /// Values that open under no key: they keep the old one.
    pub unreadable: u64,
}

/// How much of everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsInfo {
    /// Accounts.
    pub accounts: u64,
    /// Of these, disabled.
    pub disabled: u64,
    /// Sign-ins.
    pub devices: u64,
    /// Passwords in force.
    pub passwords: u64,
    /// Of these, locked to strangers.
    pub locked: u64,
    /// Passwords that are destroyed.
    pub destroyed: u64,
    /// Names that somebody guessed at and nobody registered.
    pub unknown_names: u64,
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Deleted ones whose grace runs.
    pub deleted_objects: u64,
    /// How often the database was put back.
    pub restores: u64,
    /// Whether one of these waits to be accepted.
    pub restore_waits: bool,
    /// The version of the roll-out's rules; 0: none.
    pub rollout_version: u64,
    /// Why the rules in the file are not in force.
    pub rollout_fault: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// Done; whether it changed anything.
    Done {
        /// `false`: it was so already.
        changed: bool,
    },
    /// There is no such account.
    NoAccount,
    /// Accounts, and whether there are more.
    Users {
        /// In the order of ids.
        users: Vec<UserInfo>,
        /// Ask again after the last one.
        more: bool,
    },
    /// One account.
    User {
        /// It.
        user: UserInfo,
        /// How many passwords it has.
        passwords: u64,
    },
    /// The invitation. Told once.
    Invited {
        /// Good once, for a day.
        invite: Invite,
    },
    /// Locked passwords.
    Locks {
        /// In the order of names.
        locks: Vec<LockInfo>,
        /// Ask again after the last one.
        more: bool,
    },
    /// What the walk found.
    Audit(AuditInfo),
    /// What operators did.
    Acts {
        /// In order.
        acts: Vec<ActInfo>,
    },
    /// The wrapping key.
    Keys(KeysInfo),
    /// Figures.
    Stats(StatsInfo),
    /// It was not done.
    Failed {
        /// Why.
        why: String,
    },
}
