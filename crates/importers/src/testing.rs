//! Where tests find real files.

use std::path::PathBuf;

/// A file of the folder `shared`; `None`, and a word about it, where that is absent.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HEIRLOOM_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    assert!(
        std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_none(),
        "../shared is absent, and HEIRLOOM_REQUIRE_SHARED is set"
    );
    println!("skipped: ../shared is absent");
    None
}
