//! The server against its own OpenAPI document, by schemathesis.

use anyhow::Result;

use crate::command::{Cmd, root};
use crate::setup;
use crate::suites::{Outcome, build_release, release_program};

/// Requests for each operation.
const SAMPLE: &str = "4";
const FULL: &str = "150";

/// Asks a real server what its document allows, and what it does not.
pub(crate) fn run(long: bool, seed: u64) -> Result<Outcome> {
    let built = build_release()?;
    if !built.success {
        return Ok(Outcome::one(built));
    }
    let examples = if long { FULL } else { SAMPLE };
    let probed = Cmd::new(setup::python())
        .args([root().join("testdata/openapi/probe.py"), release_program()?])
        .args([examples, &seed.to_string()])
        .run()?;
    Ok(Outcome::one(probed))
}
