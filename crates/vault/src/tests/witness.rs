use heirloom_vault_api::{Code, Fixed, Identity, WitnessPut, WitnessRead, WitnessStatement};

use super::harness::{Engine, World, code, on_every_engine};
use crate::vault::random;

fn put(expected: (u64, u8), next: (u64, u8), keyring: (u64, u8)) -> WitnessPut {
    WitnessPut {
        lineage: Fixed([7; 16]),
        expected_sequence: expected.0,
        expected_head: Fixed([expected.1; 32]),
        sequence: next.0,
        head: Fixed([next.1; 32]),
        keyring_number: keyring.0,
        keyring_hash: Fixed([keyring.1; 32]),
        record: None,
        nonce: Fixed([1; 32]),
    }
}

async fn a_lineage_only_advances_from_what_is_there(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let advance = |request: WitnessPut| world.vault.advance(request, account, None);
    advance(put((0, 0), (1, 11), (1, 1))).await.unwrap();
    advance(put((1, 11), (2, 12), (1, 1))).await.unwrap();
    for wrong in [
        put((0, 0), (3, 13), (1, 1)),  // as if nothing were there
        put((1, 11), (3, 13), (1, 1)), // from an older head
        put((2, 99), (3, 13), (1, 1)), // from another head of the same number
        put((2, 12), (1, 11), (1, 1)), // backwards
        put((2, 12), (2, 13), (1, 1)), // another head of the same number
        put((2, 12), (3, 13), (0, 0)), // an older keyring
        put((2, 12), (3, 13), (1, 2)), // another keyring of the same number
    ] {
        let refused = advance(wrong).await.unwrap_err();
        assert_eq!(code(refused), Code::Conflict);
    }
    let refused = advance(put((0, 0), (0, 0), (1, 1))).await.unwrap_err();
    assert_eq!(code(refused), Code::BadRequest);
    // A new keyring under the same head, then the next head.
    advance(put((2, 12), (2, 12), (2, 2))).await.unwrap();
    let now = advance(put((2, 12), (9, 19), (2, 2))).await.unwrap();
    assert_eq!((now.sequence, now.keyring_number), (9, 2));
}

async fn a_statement_is_signed_over_the_clients_nonce_and_for_one_account(engine: Engine) {
    let world = World::on(engine);
    let (ours, theirs) = (world.account().await, world.account().await);
    world
        .vault
        .advance(put((0, 0), (1, 11), (1, 1)), ours, None)
        .await
        .unwrap();
    let nonce = random();
    let read = WitnessRead {
        lineage: Fixed([7; 16]),
        nonce,
    };
    let witnessed = world.vault.witness(read.clone(), ours).await.unwrap();
    let identity = world.identity();
    let verify = |nonce: &Fixed<32>, witnessed: &_, identity: &Identity| {
        WitnessStatement { nonce, witnessed }.verify(identity)
    };
    assert!(verify(&nonce, &witnessed, &identity).is_ok());
    assert!(verify(&random(), &witnessed, &identity).is_err());
    let mut older = witnessed.clone();
    older.sequence = 0;
    assert!(verify(&nonce, &older, &identity).is_err());
    let other = World::on(engine).identity();
    assert!(verify(&nonce, &witnessed, &other).is_err());
    // Another account has its own lineages, of whatever name.
    let theirs = world.vault.witness(read, theirs).await.unwrap();
    assert_eq!(theirs.sequence, 0);
}

async fn the_log_of_the_password_is_witnessed_too(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let mut first = put((0, 0), (1, 11), (1, 1));
    first.record = Some(record);
    let before = world.vault.advance(first, account, None).await.unwrap();
    world.spend(record, None).await.unwrap();
    let read = WitnessRead {
        lineage: Fixed([7; 16]),
        nonce: random(),
    };
    let after = world.vault.witness(read, account).await.unwrap();
    assert_eq!(after.log_length, before.log_length + 1);
    assert_ne!(after.log_hash, before.log_hash);
    // A record of somebody else tells nothing.
    let other = world.account().await;
    let mut foreign = put((0, 0), (1, 11), (1, 1));
    foreign.record = Some(record);
    let told = world.vault.advance(foreign, other, None).await.unwrap();
    assert_eq!(told.log_length, 0);
}

on_every_engine!(
    a_lineage_only_advances_from_what_is_there,
    a_statement_is_signed_over_the_clients_nonce_and_for_one_account,
    the_log_of_the_password_is_witnessed_too,
);
