//! The newest head and keyring of each lineage: compare-and-set, never backwards.

use heirloom_vault_api::{AccountId, Fixed, LineageId, RecordName, WitnessPut, Witnessed};

use super::account;
use super::record::Record;
use crate::db::{DbError, Sql};

const READ: &str = "SELECT sequence, head, keyring_number, keyring_hash, record FROM vault_head \
     WHERE account = $1 AND lineage = $2";
const FIRST: &str = "INSERT INTO vault_head (account, lineage, sequence, head, keyring_number, \
       keyring_hash, record) VALUES ($1, $2, $3, $4, $5, $6, $7) \
     ON CONFLICT (account, lineage) DO NOTHING RETURNING sequence";
// A greater sequence, or the same head under a later keyring; another keyring hash only with a greater number.
const ADVANCE: &str = "UPDATE vault_head SET sequence = $3, head = $4, keyring_number = $5, \
       keyring_hash = $6, record = $7 \
     WHERE account = $1 AND lineage = $2 AND sequence = $8 AND head = $9 \
       AND (sequence < $3 OR (sequence = $3 AND head = $4)) \
       AND (keyring_number < $5 OR (keyring_number = $5 AND keyring_hash = $6)) RETURNING sequence";

/// What is there now, unsigned.
pub(crate) fn read(
    sql: &mut dyn Sql,
    account: &AccountId,
    lineage: &LineageId,
) -> Result<Witnessed, DbError> {
    let mut witnessed = Witnessed {
        account: *account,
        lineage: *lineage,
        sequence: 0,
        head: Fixed([0; 32]),
        keyring_number: 0,
        keyring_hash: Fixed([0; 32]),
        log_length: 0,
        log_hash: Fixed([0; 32]),
        signature: Fixed([0; 64]),
    };
    let rows = sql.query(READ, &[(*account).into(), (*lineage).into()])?;
    let Some(mut row) = rows.into_iter().next() else {
        return Ok(witnessed);
    };
    witnessed.sequence = row.u64()?;
    witnessed.head = row.fixed()?.ok_or(DbError::Impossible)?;
    witnessed.keyring_number = row.u64()?;
    witnessed.keyring_hash = row.fixed()?.ok_or(DbError::Impossible)?;
    let record: Option<RecordName> = row.fixed()?;
    if let Some(name) = record
        && let Some(record) = Record::of_owner(sql, &name, account)?
    {
        witnessed.log_length = record.log_length;
        witnessed.log_hash = record.log_hash;
    }
    Ok(witnessed)
}

/// Advances a lineage. `None`: what is there is not what was expected, or the step would go backwards.
pub(crate) fn advance(
    sql: &mut dyn Sql,
    account: &AccountId,
    put: &WitnessPut,
) -> Result<Option<Witnessed>, DbError> {
    let WitnessPut {
        lineage,
        expected_sequence,
        expected_head,
        sequence,
        head,
        keyring_number,
        keyring_hash,
        record,
        nonce: _,
    } = put;
    let mut values = vec![
        (*account).into(),
        (*lineage).into(),
        (*sequence).into(),
        (*head).into(),
        (*keyring_number).into(),
        (*keyring_hash).into(),
        (*record).into(),
    ];
    let rows = if *expected_sequence == 0 {
        if *expected_head != Fixed([0; 32]) || !account::hold(sql, account)? {
            return Ok(None);
        }
        sql.query(FIRST, &values)?
    } else {
        values.push((*expected_sequence).into());
        values.push((*expected_head).into());
        sql.query(ADVANCE, &values)?
    };
    if rows.is_empty() {
        return Ok(None);
    }
    read(sql, account, lineage).map(Some)
}
