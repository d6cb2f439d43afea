use heirloom_vault_api::*;

use super::harness::{Engine, World, code, on_every_engine, owner, password};
use super::person::{Enrolment, Login};
use crate::vault::{random, rng};

async fn v7_changing_a_password_never_leaves_the_older_one_answerable(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "old password").await;
    let (registered, key) = world
        .register(
            account,
            "new password",
            Some(record),
            (&owner(1), &owner(2)),
        )
        .await
        .unwrap();
    assert_eq!(registered.version, 2);
    // Until it is proven, it cannot come into force, and the old one opens.
    let refused = world.activate(account, &registered, &owner(1)).await;
    assert_eq!(code(refused.unwrap_err()), Code::Conflict);
    world
        .login(record, "old password", Which::Active, None)
        .await
        .unwrap();
    world
        .login(record, "new password", Which::Pending, Some(account))
        .await
        .unwrap();
    world
        .login(record, "old password", Which::Active, None)
        .await
        .unwrap();
    world
        .activate(account, &registered, &owner(1))
        .await
        .unwrap();
    let (again, confirmed) = world
        .login(record, "new password", Which::Active, None)
        .await
        .unwrap();
    assert_eq!(again.exposed(), key.exposed());
    assert_eq!(confirmed.version, 2);
    let (login, start) = world.ke1(record, "old password");
    let evaluated = world.vault.guess(start, None).await.unwrap();
    let opened = login.finish(&password("old password"), &evaluated, &mut rng());
    assert_eq!(opened.unwrap_err(), LoginError::WrongPassword);
}

async fn v7_a_second_pending_version_replaces_the_first(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "old password").await;
    let pair = (&owner(1), &owner(1));
    let (first, _) = world
        .register(account, "first", Some(record), pair)
        .await
        .unwrap();
    world
        .login(record, "first", Which::Pending, Some(account))
        .await
        .unwrap();
    let (second, _) = world
        .register(account, "second", Some(record), pair)
        .await
        .unwrap();
    assert_eq!((first.version, second.version), (2, 3));
    for registered in [&first, &second] {
        // Neither the one that is gone, nor the one that was not proven.
        let refused = world.activate(account, registered, &owner(1)).await;
        assert_eq!(code(refused.unwrap_err()), Code::Conflict);
    }
    world
        .login(record, "second", Which::Pending, Some(account))
        .await
        .unwrap();
    world.activate(account, &second, &owner(1)).await.unwrap();
}

async fn v1_registering_again_carries_both_counters(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "old password").await;
    for _ in 0..3 {
        world.spend(record, None).await.unwrap();
    }
    let pair = (&owner(1), &owner(1));
    let (registered, _) = world
        .register(account, "new", Some(record), pair)
        .await
        .unwrap();
    assert_eq!(world.status(record, account).await.guesses, 3);
    world
        .login(record, "new", Which::Pending, Some(account))
        .await
        .unwrap();
    world
        .activate(account, &registered, &owner(1))
        .await
        .unwrap();
    let status = world.status(record, account).await;
    assert_eq!((status.guesses, status.lifetime_left), (3, 97));
    assert_eq!(status.left, 7);
}

async fn a_stolen_sign_in_can_neither_replace_nor_activate_nor_destroy(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "old password").await;
    let refused = world
        .register(account, "thief's", Some(record), (&owner(66), &owner(66)))
        .await
        .unwrap_err();
    assert_eq!(code(refused), Code::OwnerProofNeeded);
    let stolen = owner(66).sign(&world.identity(), &record, &OwnerAct::Forget);
    let forget = Forget {
        record,
        signature: stolen,
    };
    let refused = world.vault.forget(forget, account).await.unwrap_err();
    assert_eq!(code(refused), Code::OwnerProofNeeded);
    let change = ChangeOwner {
        record,
        next_owner: owner(66).public().to_bytes(),
        signature: stolen,
    };
    let refused = world.vault.change_owner(change, account).await.unwrap_err();
    assert_eq!(code(refused), Code::OwnerProofNeeded);
    world
        .login(record, "old password", Which::Active, None)
        .await
        .unwrap();
}

async fn another_account_finds_no_record_of_ours(engine: Engine) {
    let world = World::on(engine);
    let (ours, theirs) = (world.account().await, world.account().await);
    let (record, _) = world.enrol(ours, "old password").await;
    let refused = world.vault.status(StatusRead { record }, theirs).await;
    let unknown = world
        .vault
        .status(StatusRead { record: random() }, theirs)
        .await;
    assert_eq!(code(refused.unwrap_err()), Code::NotFound);
    assert_eq!(code(unknown.unwrap_err()), Code::NotFound);
    let pair = (&owner(1), &owner(1));
    let refused = world.register(theirs, "x", Some(record), pair).await;
    assert_eq!(code(refused.unwrap_err()), Code::NotFound);
    let read = LogRead { record, from: 0 };
    assert_eq!(
        code(world.vault.log(read, theirs).await.unwrap_err()),
        Code::NotFound
    );
}

async fn an_owner_key_is_replaced_by_the_one_in_force_alone(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "old password").await;
    let next_owner = owner(2).public().to_bytes();
    let act = OwnerAct::ChangeOwner {
        owner: &owner(1).public().to_bytes(),
        next_owner: &next_owner,
    };
    let change = ChangeOwner {
        record,
        next_owner,
        signature: owner(1).sign(&world.identity(), &record, &act),
    };
    world
        .vault
        .change_owner(change.clone(), account)
        .await
        .unwrap();
    // Replayed, or signed by the key of before:
    let refused = world.vault.change_owner(change, account).await.unwrap_err();
    assert_eq!(code(refused), Code::OwnerProofNeeded);
    let pair = (&owner(1), &owner(1));
    let refused = world.register(account, "x", Some(record), pair).await;
    assert_eq!(code(refused.unwrap_err()), Code::OwnerProofNeeded);
    let pair = (&owner(2), &owner(2));
    world
        .register(account, "x", Some(record), pair)
        .await
        .unwrap();
}

async fn a_forgotten_record_answers_as_one_that_never_was(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "old password").await;
    let signature = owner(1).sign(&world.identity(), &record, &OwnerAct::Forget);
    let forget = Forget { record, signature };
    world.vault.forget(forget, account).await.unwrap();
    let evaluated = world.spend(record, None).await;
    assert!(evaluated.is_ok());
    let refused = world.vault.status(StatusRead { record }, account).await;
    assert_eq!(code(refused.unwrap_err()), Code::NotFound);
}

async fn the_second_half_of_a_registration_is_good_once_and_for_its_account(engine: Engine) {
    let world = World::on(engine);
    let (ours, theirs) = (world.account().await, world.account().await);
    let text = password("x");
    let mut rng = crate::vault::rng();
    let (enrolment, start) = Enrolment::start(&text, None, &mut rng);
    let started = world
        .vault
        .start_registration(start, ours, None)
        .await
        .unwrap();
    let (finish, _, _) = enrolment
        .finish(
            &text,
            &started,
            &world.identity(),
            &owner(1),
            &owner(1),
            &mut rng,
        )
        .unwrap();
    let refused = world
        .vault
        .finish_registration(finish.clone(), theirs, None)
        .await;
    assert_eq!(code(refused.unwrap_err()), Code::NotFound);
    let refused = world.vault.finish_registration(finish, ours, None).await;
    assert_eq!(code(refused.unwrap_err()), Code::NotFound);
}

async fn a_pending_version_is_for_its_signed_in_owner_alone(engine: Engine) {
    let world = World::on(engine);
    let (ours, theirs) = (world.account().await, world.account().await);
    let pair = (&owner(1), &owner(1));
    let (registered, _) = world.register(ours, "new", None, pair).await.unwrap();
    let mut rng = crate::vault::rng();
    let pinned = world.pinned(registered.record);
    let text = password("new");
    let (_, start) = Login::start(&text, pinned, Which::Pending, &mut rng);
    let refused = world.vault.guess(start, None).await.unwrap_err();
    assert_eq!(code(refused), Code::SignInNeeded);
    // Another account gets a fake.
    let (login, start) = Login::start(&text, pinned, Which::Pending, &mut rng);
    let evaluated = world.vault.guess(start, Some(theirs)).await.unwrap();
    let opened = login.finish(&text, &evaluated, &mut rng);
    assert_eq!(opened.unwrap_err(), LoginError::WrongPassword);
}

on_every_engine!(
    v7_changing_a_password_never_leaves_the_older_one_answerable,
    v7_a_second_pending_version_replaces_the_first,
    v1_registering_again_carries_both_counters,
    a_stolen_sign_in_can_neither_replace_nor_activate_nor_destroy,
    another_account_finds_no_record_of_ours,
    an_owner_key_is_replaced_by_the_one_in_force_alone,
    a_forgotten_record_answers_as_one_that_never_was,
    the_second_half_of_a_registration_is_good_once_and_for_its_account,
    a_pending_version_is_for_its_signed_in_owner_alone,
);
