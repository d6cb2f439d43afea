//! What every store must do, as one suite that every store runs: `store_contract!(make_a_store())`.

use super::{Put, Store, StoreError};

/// Runs the whole contract against fresh stores; panics on the first breach.
///
/// # Panics
/// When the store breaks the contract.
pub fn check_all(make: &dyn Fn() -> Box<dyn Store>) {
    for (name, test) in CLAUSES {
        let store = make();
        test(store.as_ref());
        // Seen only by who runs it with output.
        let _ = name;
    }
}

type Clause = fn(&dyn Store);

/// The clauses by name.
pub const CLAUSES: &[(&str, Clause)] = &[
    ("what was put is read", what_was_put_is_read),
    (
        "an object is never overwritten",
        an_object_is_never_overwritten,
    ),
    (
        "one of many creators wins, and its bytes stay whole",
        one_of_many_creators_wins,
    ),
    (
        "ranges end where the object ends",
        ranges_end_where_the_object_ends,
    ),
    ("lists are complete, sorted and exact", lists_are_complete),
    ("deleting twice is no error", deleting_twice_is_no_error),
    (
        "what is not there is said to be not there",
        missing_objects_are_not_found,
    ),
    ("a limit is kept", a_limit_is_kept),
    (
        "large and empty objects survive",
        large_and_empty_objects_survive,
    ),
];

fn what_was_put_is_read(store: &dyn Store) {
    assert_eq!(
        store.put_new("packs/ab/cd", b"hello").ok(),
        Some(Put::Created)
    );
    assert_eq!(
        store.get("packs/ab/cd", 5).ok().as_deref(),
        Some(&b"hello"[..])
    );
    assert_eq!(store.stat("packs/ab/cd").ok(), Some(5));
}

fn an_object_is_never_overwritten(store: &dyn Store) {
    assert_eq!(store.put_new("a", b"one").ok(), Some(Put::Created));
    assert_eq!(store.put_new("a", b"other").ok(), Some(Put::AlreadyThere));
    assert_eq!(store.get("a", 10).ok().as_deref(), Some(&b"one"[..]));
}

fn one_of_many_creators_wins(store: &dyn Store) {
    let created = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8u8)
            .map(|worker| scope.spawn(move || store.put_new("x/race", &vec![worker; 100_000]).ok()))
            .collect();
        workers
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .filter(|put| matches!(put, Ok(Some(Put::Created))))
            .count()
    });
    assert_eq!(created, 1);
    let bytes = store.get("x/race", 200_000).expect("it is there");
    assert!(bytes.len() == 100_000 && bytes.iter().all(|byte| *byte == bytes[0]));
}

fn ranges_end_where_the_object_ends(store: &dyn Store) {
    store.put_new("r", b"0123456789").expect("put");
    let range = |at, len| store.get_range("r", at, len).expect("range");
    assert_eq!(range(0, 10), b"0123456789");
    assert_eq!(range(3, 4), b"3456");
    assert_eq!(range(8, 100), b"89");
    assert_eq!(range(10, 1), b"");
    assert_eq!(range(u64::MAX, u64::MAX), b"");
}

fn lists_are_complete(store: &dyn Store) {
    let mut names: Vec<String> = (0..1100)
        .map(|n| format!("packs/{:02x}/{n:04}", n % 7))
        .collect();
    names.push("heads/a/1".into());
    names.push("packs-not/1".into());
    for name in &names {
        store.put_new(name, &[1, 2, 3]).expect("put");
    }
    names.sort();
    let listed = |prefix: &str| -> Vec<String> {
        let all = store.list(prefix).expect("list");
        assert!(all.iter().all(|object| object.bytes == 3));
        all.into_iter().map(|object| object.name).collect()
    };
    assert_eq!(listed(""), names);
    names.retain(|name| name.starts_with("packs/"));
    assert_eq!(listed("packs/"), names);
    assert!(listed("nothing/").is_empty());
}

fn deleting_twice_is_no_error(store: &dyn Store) {
    store.put_new("d/e", &[0]).expect("put");
    store.delete("d/e").expect("delete");
    store.delete("d/e").expect("delete again");
    assert!(matches!(
        store.get("d/e", 1),
        Err(StoreError::NotFound { .. })
    ));
    assert_eq!(store.put_new("d/e", &[1]).ok(), Some(Put::Created));
}

fn missing_objects_are_not_found(store: &dyn Store) {
    assert!(matches!(
        store.get("no", 1),
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        store.get_range("no", 0, 1),
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        store.stat("no/such"),
        Err(StoreError::NotFound { .. })
    ));
    assert!(!store.get("no", 1).expect_err("missing").is_temporary());
}

fn a_limit_is_kept(store: &dyn Store) {
    store.put_new("big", &[0; 1000]).expect("put");
    assert!(matches!(
        store.get("big", 999),
        Err(StoreError::TooLarge { .. })
    ));
    assert!(store.get("big", 1000).is_ok());
}

fn large_and_empty_objects_survive(store: &dyn Store) {
    let large: Vec<u8> = (0..9_000_000u32)
        .map(|n| n.to_le_bytes()[(n % 4).try_into().unwrap_or(0usize)])
        .collect();
    store.put_new("large", &large).expect("put");
    store.put_new("empty", &[]).expect("put");
    assert!(store.get("large", 9_000_000).expect("get") == large);
    assert!(store.get_range("large", 8_388_600, 20).expect("range") == large[8_388_600..8_388_620]);
    assert_eq!(store.get("empty", 0).expect("get"), b"");
    assert_eq!(store.stat("empty").expect("stat"), 0);
}

#[cfg(test)]
macro_rules! store_contract {
    ($make:expr) => {
        #[test]
        fn keeps_the_store_contract() {
            crate::store::contract::check_all(&|| Box::new($make));
        }
    };
}
#[cfg(test)]
pub(crate) use store_contract;
