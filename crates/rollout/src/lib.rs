//! Who is offered what: flag definitions in flagd's form, evaluated and explained.
//!
//! A leaf without I/O, clock or random source: the same rules and the same [`Asker`] give the same
//! [`Decision`] on every computer. `docs/rollout.md` is normative.
//!
//! ```text
//! json     text → values, strictly: no repeated names, limits on size, depth and count
//! rules    values → flags; everything that could fail later is refused here, with its place
//! logic    JsonLogic, without loops: an evaluation costs no more than reading its rule once
//! buckets  MurmurHash3 and flagd's weights
//! version  what `sem_ver` compares
//! ```
//!
//! An own evaluator, not one of the `JsonLogic` crates: these have loops (and so no bound), give `null` where
//! flagd wants the default variant, and change faster than two servers are updated.

mod buckets;
mod json;
mod logic;
mod rules;
mod version;

pub use logic::Step;
pub use rules::{Asker, Decision, Explanation, MAX_RULES_BYTES, Reason, Rules, RulesError};

#[cfg(test)]
mod tests;
