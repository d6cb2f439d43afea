//! Who may depend on whom (the design's section 3), from `cargo metadata`.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command::{Cmd, Ran};
use crate::suites::Outcome;

/// Each package of ours and what it may use of ours. A package that is not here is a mistake.
const MAY_USE: &[(&str, &[&str])] = &[
    ("heirloom-archive", &[]),
    ("heirloom-exports", &["heirloom-archive"]),
    ("heirloom-importers", &["heirloom-archive"]),
    ("heirloom-keys", &[]),
    ("heirloom-ceremony", &["heirloom-keys"]),
    ("heirloom-engine", &["heirloom-archive"]),
    ("heirloom-vault-api", &[]),
    ("heirloom-rollout", &[]),
    (
        "heirloom-vault",
        &["heirloom-rollout", "heirloom-vault-api"],
    ),
    (
        "heirloom",
        &[
            "heirloom-archive",
            "heirloom-ceremony",
            "heirloom-exports",
            "heirloom-importers",
            "heirloom-keys",
            "heirloom-engine",
            "heirloom-rollout",
            "heirloom-vault",
            "heirloom-vault-api",
        ],
    ),
    (
        "heirloom-bench",
        &["heirloom-keys", "heirloom-vault", "heirloom-vault-api"],
    ),
    ("xtask", &[]),
];

/// What cargo knows of the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let text = Cmd::cargo(["metadata", "--format-version", "1", "--all-features"])
        .answer()
        .context("cargo metadata failed")?;
    Ok(serde_json::from_str(&text)?)
}

/// The packages in `metadata`.
pub(crate) fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"]
        .as_array()
        .context("cargo metadata without packages")
}

/// Names of the integration tests of those packages of ours that `wanted` picks.
pub(crate) fn integration_tests(metadata: &Value, wanted: fn(&str) -> bool) -> Result<Vec<String>> {
    let ours = packages(metadata)?.iter().filter(|package| {
        package["source"].is_null() && package["name"].as_str().is_some_and(wanted)
    });
    let targets = ours.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let tests = targets
        .filter(|target| target["kind"][0] == "test")
        .filter_map(|target| target["name"].as_str());
    Ok(tests.map(str::to_owned).collect())
}

/// Every dependency between our packages is one that the design allows.
pub(crate) fn check(metadata: &Value) -> Result<Outcome> {
    let mut wrong = String::new();
    for package in packages(metadata)?
        .iter()
        .filter(|package| package["source"].is_null())
    {
        let name = package["name"]
            .as_str()
            .context("a package without a name")?;
        let Some((_, allowed)) = MAY_USE.iter().find(|(ours, _)| *ours == name) else {
            writeln!(wrong, "{name} has no place in the dependency direction")?;
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let ours = dependency["path"].is_string();
            // Tests may look further: the program's tests at the vectors of a library, say.
            let for_tests = dependency["kind"] == "dev";
            let used = dependency["name"]
                .as_str()
                .context("a dependency without a name")?;
            if ours && !for_tests && !allowed.contains(&used) {
                writeln!(wrong, "{name} must not depend on {used}")?;
            }
        }
    }
    // `cargo test --test NAME` runs every test of that name, and the program's are run by themselves.
    let others = integration_tests(metadata, |name| name != "heirloom")?;
    for name in integration_tests(metadata, |name| name == "heirloom")? {
        if others.contains(&name) {
            writeln!(
                wrong,
                "another package than heirloom has a test {name}, too"
            )?;
        }
    }
    Ok(Outcome::one(Ran {
        success: wrong.is_empty(),
        output: wrong,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(name: &str, used: &str, kind: &Value) -> Value {
        json!({"packages": [{"name": name, "source": null, "dependencies": [{"name": used, "path": "/x", "kind": kind}]}]})
    }

    #[test]
    fn an_archive_that_uses_the_engine_is_refused() {
        let outcome = check(&one("heirloom-archive", "heirloom-engine", &Value::Null)).unwrap();
        assert_eq!((outcome.counts.passed, outcome.counts.failed), (0, 1));
        assert!(
            outcome
                .output
                .contains("heirloom-archive must not depend on heirloom-engine")
        );
    }

    #[test]
    fn a_package_nobody_placed_is_refused() {
        let outcome = check(&one("heirloom-utils", "serde", &Value::Null)).unwrap();
        assert_eq!(outcome.counts.failed, 1);
    }

    #[test]
    fn a_test_of_the_program_with_the_name_of_another_is_refused() {
        let package = |name: &str, test: &str| json!({"name": name, "source": null, "dependencies": [], "targets": [{"kind": ["test"], "name": test}]});
        let packages = |test| json!({"packages": [package("heirloom", test), package("heirloom-engine", "hostile")]});
        assert_eq!(check(&packages("hostile")).unwrap().counts.failed, 1);
        assert_eq!(check(&packages("crash")).unwrap().counts.failed, 0);
    }

    #[test]
    fn the_engine_may_use_the_archive() {
        let outcome = check(&one("heirloom-engine", "heirloom-archive", &Value::Null)).unwrap();
        assert_eq!(outcome.counts.failed, 0);
    }
}
