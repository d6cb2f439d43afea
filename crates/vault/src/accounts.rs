//! Who may sign in: tenants and their rules, passkeys, a messenger's word. What is stored is in `store`.

pub(crate) mod coded;
pub(crate) mod handover;
mod keyset;
pub(crate) mod messenger;
pub(crate) mod passkey;
pub(crate) mod relay;
pub(crate) mod tenant;
pub(crate) mod tickets;

pub use tenant::{BadTenants, KeySource, Messenger, Site, Tenant, Tenants};
