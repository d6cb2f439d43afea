//! The tables, layout after layout. Only here do engines differ: in the word for bytes, and in how a function is made
//! that statements call.

/// Whose words the statements are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// Layouts in order. One that was released never changes; what is new is the next one's statements.
const LAYOUTS: &[&str] = &[
    FIRST,
    DEVICES,
    UPLOADS,
    MARKS,
    OPERATOR,
    REPEATS,
    INVITATIONS,
    DELETED,
    LOG_HASH,
];

/// The newest layout's number, which is in `vault_meta`. A later one is not opened.
pub(crate) fn newest() -> u64 {
    u64::try_from(LAYOUTS.len()).unwrap_or(u64::MAX)
}

/// What leads from layout `from` to the newest; from 0, everything.
///
/// The checks hold on every way in, restore and replication included (V6).
pub(crate) fn after(from: u64, dialect: Dialect) -> impl Iterator<Item = String> {
    let done = usize::try_from(from).unwrap_or(usize::MAX);
    let layouts = LAYOUTS.iter().skip(done);
    layouts.map(move |layout| dialect.of(layout))
}

/// The first release's tables, for a test of the way from there.
#[cfg(test)]
pub(crate) fn first(dialect: Dialect) -> String {
    dialect.of(FIRST)
}

impl Dialect {
    fn of(self, layout: &str) -> String {
        match self {
            // SQLite has no functions of its own making: `sqlite::functions` brings them with each connection.
            Self::Sqlite if layout == LOG_HASH => String::new(),
            Self::Sqlite => layout.replace("BYTES", "BLOB"),
            Self::Postgres => layout.replace("BYTES", "BYTEA"),
        }
    }
}

const FIRST: &str = "
CREATE TABLE vault_meta (
  id bigint PRIMARY KEY CHECK (id = 1),
  layout bigint NOT NULL,
  database BYTES NOT NULL CHECK (length(database) = 16),
  sequence bigint NOT NULL CHECK (sequence >= 0),
  generation bigint NOT NULL CHECK (generation >= 1),
  accepted bigint NOT NULL CHECK (accepted BETWEEN 1 AND generation)
);
CREATE TABLE vault_record (
  shard bigint NOT NULL CHECK (shard BETWEEN 0 AND 4095),
  name BYTES NOT NULL CHECK (length(name) = 16),
  account BYTES CHECK (length(account) = 16),
  state bigint NOT NULL CHECK (state BETWEEN 1 AND 3),
  guesses bigint NOT NULL CHECK (guesses BETWEEN 0 AND 10),
  failed bigint NOT NULL CHECK (failed BETWEEN 0 AND 10),
  total bigint NOT NULL CHECK (total >= 0),
  lifetime bigint NOT NULL CHECK (lifetime BETWEEN 0 AND 100),
  proved bigint NOT NULL CHECK (proved BETWEEN 0 AND total),
  not_before bigint NOT NULL CHECK (not_before >= 0),
  deadline bigint NOT NULL CHECK (deadline >= 0),
  session BYTES CHECK (length(session) = 16),
  session_state BYTES,
  generation bigint NOT NULL CHECK (generation >= 1),
  touched bigint NOT NULL CHECK (touched >= 0),
  newest bigint NOT NULL CHECK (newest >= 0),
  version bigint NOT NULL CHECK (version BETWEEN 0 AND newest),
  sealed BYTES,
  owner BYTES CHECK (length(owner) = 32),
  pending_version bigint NOT NULL CHECK (pending_version BETWEEN 0 AND newest),
  pending_sealed BYTES,
  pending_owner BYTES CHECK (length(pending_owner) = 32),
  pending_proved bigint NOT NULL CHECK (pending_proved IN (0, 1)),
  log_length bigint NOT NULL CHECK (log_length >= 0),
  log_hash BYTES NOT NULL CHECK (length(log_hash) = 32),
  PRIMARY KEY (shard, name),
  CHECK (state < 3 OR (sealed IS NULL AND pending_sealed IS NULL AND session_state IS NULL)),
  CHECK (guesses < 10 OR state > 1),
  CHECK (lifetime < 100 OR state > 1),
  CHECK (state <> 2 OR deadline > 0),
  CHECK (account IS NOT NULL OR (sealed IS NULL AND pending_sealed IS NULL)),
  CHECK (sealed IS NULL OR (version > 0 AND owner IS NOT NULL)),
  CHECK (pending_sealed IS NULL OR (pending_version > version AND pending_owner IS NOT NULL))
);
CREATE INDEX vault_record_final ON vault_record (deadline) WHERE state = 2;
CREATE INDEX vault_record_shadow ON vault_record (touched) WHERE account IS NULL;
CREATE TABLE vault_log (
  shard bigint NOT NULL,
  name BYTES NOT NULL,
  sequence bigint NOT NULL CHECK (sequence >= 1),
  kind bigint NOT NULL CHECK (kind BETWEEN 1 AND 8),
  version bigint NOT NULL CHECK (version >= 0),
  time_ms bigint NOT NULL CHECK (time_ms >= 0),
  PRIMARY KEY (shard, name, sequence)
);
CREATE TABLE vault_account (
  account BYTES PRIMARY KEY CHECK (length(account) = 16),
  created bigint NOT NULL,
  used_bytes bigint NOT NULL CHECK (used_bytes >= 0),
  quota_bytes bigint NOT NULL CHECK (quota_bytes >= 0)
);
CREATE TABLE vault_token (
  hash BYTES PRIMARY KEY CHECK (length(hash) = 32),
  account BYTES NOT NULL,
  created bigint NOT NULL
);
CREATE TABLE vault_invite (
  hash BYTES PRIMARY KEY CHECK (length(hash) = 32),
  account BYTES,
  expires bigint NOT NULL
);
CREATE TABLE vault_head (
  account BYTES NOT NULL CHECK (length(account) = 16),
  lineage BYTES NOT NULL CHECK (length(lineage) = 16),
  sequence bigint NOT NULL CHECK (sequence >= 1),
  head BYTES NOT NULL CHECK (length(head) = 32),
  keyring_number bigint NOT NULL CHECK (keyring_number >= 0),
  keyring_hash BYTES NOT NULL CHECK (length(keyring_hash) = 32),
  record BYTES CHECK (length(record) = 16),
  PRIMARY KEY (account, lineage)
);
CREATE TABLE vault_blob (
  account BYTES NOT NULL CHECK (length(account) = 16),
  object BYTES NOT NULL CHECK (length(object) = 16),
  name BYTES NOT NULL,
  size bigint NOT NULL CHECK (size >= 0),
  deleted bigint CHECK (deleted >= 0),
  PRIMARY KEY (account, object)
);
CREATE UNIQUE INDEX vault_blob_name ON vault_blob (account, name) WHERE deleted IS NULL;
CREATE UNIQUE INDEX vault_blob_object ON vault_blob (object);
CREATE INDEX vault_blob_deleted ON vault_blob (deleted) WHERE deleted IS NOT NULL;
";

/// Sign-ins as devices; tenants; passkeys that sign in; whom a messenger vouches for.
const DEVICES: &str = "
ALTER TABLE vault_account ADD COLUMN tenant BYTES;
ALTER TABLE vault_invite ADD COLUMN tenant BYTES;
ALTER TABLE vault_token ADD COLUMN device BYTES;
ALTER TABLE vault_token ADD COLUMN name BYTES;
ALTER TABLE vault_token ADD COLUMN entry bigint NOT NULL DEFAULT 1;
ALTER TABLE vault_token ADD COLUMN seen bigint NOT NULL DEFAULT 0;
ALTER TABLE vault_token ADD COLUMN ended bigint;
UPDATE vault_token SET device = substr(hash, 1, 16), seen = created;
CREATE INDEX vault_token_account ON vault_token (account);
CREATE TABLE vault_passkey (
  id BYTES PRIMARY KEY CHECK (length(id) = 32),
  account BYTES NOT NULL CHECK (length(account) = 16),
  passkey BYTES NOT NULL CHECK (length(passkey) = 16),
  credential BYTES NOT NULL,
  handle BYTES NOT NULL CHECK (length(handle) = 32),
  public_key BYTES NOT NULL,
  counter bigint NOT NULL CHECK (counter >= 0),
  eligible bigint NOT NULL CHECK (eligible IN (0, 1)),
  name BYTES,
  created bigint NOT NULL,
  used bigint
);
CREATE INDEX vault_passkey_account ON vault_passkey (account);
CREATE TABLE vault_subject (
  hash BYTES PRIMARY KEY CHECK (length(hash) = 32),
  account BYTES NOT NULL CHECK (length(account) = 16)
);
";

/// Uploads that can be gone on with.
const UPLOADS: &str = "
CREATE TABLE vault_upload (
  account BYTES NOT NULL CHECK (length(account) = 16),
  object BYTES NOT NULL CHECK (length(object) = 16),
  name BYTES NOT NULL,
  size bigint NOT NULL CHECK (size >= 0),
  hash BYTES NOT NULL CHECK (length(hash) = 32),
  expires bigint NOT NULL CHECK (expires >= 0),
  PRIMARY KEY (account, object)
);
CREATE UNIQUE INDEX vault_upload_object ON vault_upload (object);
CREATE INDEX vault_upload_expires ON vault_upload (expires);
";

/// Commits of each connection, where several write at a time.
const MARKS: &str = "
CREATE TABLE vault_mark (
  server BYTES NOT NULL CHECK (length(server) = 16),
  slot bigint NOT NULL CHECK (slot BETWEEN 0 AND 47),
  sequence bigint NOT NULL CHECK (sequence >= 1),
  PRIMARY KEY (server, slot)
);
";

/// Accounts whose sign-ins are refused, and the operators' own log.
const OPERATOR: &str = "
CREATE TABLE vault_disabled (
  account BYTES PRIMARY KEY CHECK (length(account) = 16),
  since bigint NOT NULL CHECK (since >= 1)
);
CREATE TABLE vault_act (
  sequence bigint PRIMARY KEY CHECK (sequence >= 1),
  time_ms bigint NOT NULL CHECK (time_ms >= 0),
  act BYTES NOT NULL,
  detail BYTES NOT NULL
);
CREATE TABLE vault_act_head (
  id bigint PRIMARY KEY CHECK (id = 1),
  length bigint NOT NULL CHECK (length >= 0),
  hash BYTES NOT NULL CHECK (length(hash) = 32)
);
";

/// Answers that are given again to the same request, sealed under that request.
const REPEATS: &str = "
CREATE TABLE vault_repeat (
  name BYTES PRIMARY KEY CHECK (length(name) = 32),
  request BYTES NOT NULL CHECK (length(request) = 32),
  nonce BYTES NOT NULL CHECK (length(nonce) = 12),
  answer BYTES NOT NULL,
  expires bigint NOT NULL CHECK (expires >= 0)
);
CREATE INDEX vault_repeat_expires ON vault_repeat (expires);
";

/// Invitations are counted, ended and forgotten without walking through everybody's.
const INVITATIONS: &str = "
CREATE INDEX vault_invite_expires ON vault_invite (expires);
CREATE INDEX vault_invite_account ON vault_invite (account);
";

/// What an account deleted and still lies there: it counts towards twice the quota.
const DELETED: &str = "
ALTER TABLE vault_account ADD COLUMN deleted_bytes bigint NOT NULL DEFAULT 0 CHECK (deleted_bytes >= 0);
UPDATE vault_account SET deleted_bytes = COALESCE((SELECT CAST(sum(b.size) AS bigint) FROM vault_blob b \
  WHERE b.account = vault_account.account AND b.deleted IS NOT NULL), 0);
";

/// `LogEntry::hash`, so that a row and its log's hash change in one statement. The text is `heirloom/vault/v1/log`.
const LOG_HASH: &str = r"
CREATE FUNCTION vault_log_hash(before BYTES, sequence bigint, kind bigint, version bigint, time_ms bigint)
  RETURNS BYTES LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT sha256('\x686569726c6f6f6d2f7661756c742f76312f6c6f67'::BYTES || before || int8send(sequence)
  || substr(int8send(kind), 8) || substr(int8send(version), 5) || int8send(time_ms)) $$;
";
