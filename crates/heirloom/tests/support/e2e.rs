//! What the end-to-end tests share: sources, real and made up, what is in them, and chance that can be repeated.
#![expect(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

pub mod canon;
pub mod chance;
pub mod corpus;
pub mod made;
pub mod made_archive;
pub mod session;
pub mod tree;
