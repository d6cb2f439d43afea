use std::sync::Arc;

use heirloom_vault_api::{AccountId, BlobName, Fixed};

use super::harness::{DAY, Engine, World, on_every_engine};
use crate::store::blob::{self, Refused};
use crate::store::operator;
use crate::store::upload::{self, Upload};
use crate::vault::random;

const QUOTA: u64 = 1000;
const WEEK: u64 = 7 * DAY;

fn name(text: &str) -> BlobName {
    BlobName::try_from(text.to_owned()).unwrap()
}

struct Objects<'a> {
    world: &'a World,
    account: AccountId,
}

impl Objects<'_> {
    async fn create(&self, text: &str, size: u64) -> Result<(), Refused> {
        let (account, object, name) = (self.account, random(), name(text));
        let vault = Arc::clone(&self.world.vault);
        let created = vault.run(move |sql| blob::create(sql, &account, &object, &name, size));
        created.await.unwrap()
    }

    async fn delete(&self, text: &str) -> bool {
        let (account, now, name) = (self.account, self.world.vault.now(), name(text));
        let deleted = self
            .world
            .vault
            .run(move |sql| blob::delete(sql, &account, &name, now));
        deleted.await.unwrap()
    }

    async fn restore(&self, text: &str) -> Option<Result<u64, Refused>> {
        let (account, name) = (self.account, name(text));
        let before = self.world.vault.now() - WEEK;
        let restored = self
            .world
            .vault
            .run(move |sql| blob::restore(sql, &account, &name, before));
        restored.await.unwrap()
    }

    async fn sweep(&self) -> u64 {
        let before = self.world.vault.now() - WEEK;
        let over = self.world.vault.run(move |sql| blob::over(sql, before));
        let mut freed = 0;
        for (account, object) in over.await.unwrap() {
            let gone = self
                .world
                .vault
                .run(move |sql| blob::gone(sql, &account, &object, before));
            freed += gone.await.unwrap().unwrap();
        }
        freed
    }

    /// What the account says that it uses and deleted, and what its rows say.
    async fn counted(&self) -> [u64; 4] {
        const ALL: &str = "SELECT a.used_bytes, a.deleted_bytes, \
               CAST(COALESCE((SELECT sum(size) FROM vault_blob b \
                 WHERE b.account = a.account AND b.deleted IS NULL), 0) \
               + COALESCE((SELECT sum(size) FROM vault_upload u WHERE u.account = a.account), 0) AS bigint), \
               CAST(COALESCE((SELECT sum(size) FROM vault_blob b \
                 WHERE b.account = a.account AND b.deleted IS NOT NULL), 0) AS bigint) \
             FROM vault_account a WHERE a.account = $1";
        let account = self.account;
        let counted = self.world.vault.run(move |sql| {
            let mut row = sql.query(ALL, &[account.into()])?.remove(0);
            Ok([row.u64()?, row.u64()?, row.u64()?, row.u64()?])
        });
        counted.await.unwrap()
    }
}

async fn what_is_deleted_again_and_again_does_not_fill_the_disk(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let objects = Objects {
        world: &world,
        account,
    };
    for _ in 0..3 {
        assert_eq!(objects.create("a", 600).await, Ok(()));
        assert!(objects.delete("a").await);
    }
    assert_eq!(objects.create("a", 600).await, Err(Refused::Deleted));
    assert_eq!(objects.create("a", 201).await, Err(Refused::Deleted));
    let words = Upload {
        name: name("b"),
        size: 600,
        hash: Fixed([7; 32]),
    };
    let now = world.vault.now();
    let begun = world
        .vault
        .run(move |sql| upload::begin(sql, &account, random(), &words, now));
    assert_eq!(begun.await.unwrap(), Err(Refused::Deleted));
    assert_eq!(objects.create("b", 200).await, Ok(()));
    let full = Refused::Quota {
        used: 200,
        quota: QUOTA,
    };
    assert_eq!(objects.create("c", 801).await, Err(full));
    // What lies there already can be brought back all the same.
    assert_eq!(objects.restore("a").await, Some(Ok(600)));
    assert_eq!(objects.counted().await, [800, 1200, 800, 1200]);
    // Another account has its own room.
    let other = world.account().await;
    let others = Objects {
        world: &world,
        account: other,
    };
    assert_eq!(others.create("a", 600).await, Ok(()));
    world.wait(WEEK);
    assert_eq!(objects.sweep().await, 1200);
    assert_eq!(objects.counted().await, [800, 0, 800, 0]);
    assert_eq!(objects.create("c", 200).await, Ok(()));
}

async fn what_an_account_deleted_is_counted_exactly_whatever_happens(engine: Engine) {
    let seed = std::env::var("HEIRLOOM_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("HEIRLOOM_SEED={seed}");
    let mut state: u64 = seed;
    let mut roll = move |sides: u64| {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    };
    let world = World::on(engine);
    let account = world.account().await;
    let objects = Objects {
        world: &world,
        account,
    };
    let mut begun = Vec::new();
    for _ in 0..100 {
        let text = format!("{}", roll(5));
        match roll(10) {
            0..=2 => drop(objects.create(&text, roll(400)).await),
            3..=4 => drop(objects.delete(&text).await),
            5 => drop(objects.restore(&text).await),
            6 => drop(objects.sweep().await),
            7 => {
                let (size, now) = (roll(400), world.vault.now());
                let words = Upload {
                    name: name(&text),
                    size,
                    hash: Fixed([7; 32]),
                };
                let upload = world
                    .vault
                    .run(move |sql| upload::begin(sql, &account, random(), &words, now));
                begun.extend(upload.await.unwrap());
            }
            8 => {
                if let Some(object) = begun.pop() {
                    let finishes = roll(2) == 0;
                    let ended = world.vault.run(move |sql| {
                        if finishes {
                            upload::finish(sql, &account, &object).map(drop)
                        } else {
                            upload::cancel(sql, &account, &object).map(drop)
                        }
                    });
                    ended.await.unwrap();
                }
            }
            _ => world.wait(roll(2 * DAY)),
        }
        let [used, deleted, used_rows, deleted_rows] = objects.counted().await;
        assert_eq!((used, deleted), (used_rows, deleted_rows));
        assert!(used <= QUOTA && used + deleted <= 2 * QUOTA);
    }
    // Of an account that is gone, nothing is counted any more, and its objects go all the same.
    let now = world.vault.now();
    let deleted = world
        .vault
        .run(move |sql| operator::delete(sql, &account, now));
    assert!(deleted.await.unwrap());
    world.wait(WEEK);
    objects.sweep().await;
    let left = world
        .vault
        .run(|sql| Ok(sql.query("SELECT object FROM vault_blob", &[])?.len()));
    assert_eq!(left.await.unwrap(), 0);
}

on_every_engine!(
    what_is_deleted_again_and_again_does_not_fill_the_disk,
    what_an_account_deleted_is_counted_exactly_whatever_happens,
);
