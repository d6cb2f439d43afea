//! What asks nobody must not be in what people get.

use std::process::Command;

fn tree(package: &str, more: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--prefix",
            "none",
            "--edges",
            "normal,build",
            "--package",
            package,
        ])
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs the tests, so it is there");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("names and versions")
}

fn has_software_authenticator(tree: &str) -> bool {
    tree.lines()
        .any(|line| line.starts_with("passkey-authenticator "))
}

#[test]
fn the_program_has_no_software_authenticator() {
    assert!(!has_software_authenticator(&tree("heirloom", &[])));
    assert!(!has_software_authenticator(&tree("heirloom-ceremony", &[])));
}

#[test]
fn the_feature_that_brings_it_is_the_one_that_tests_name() {
    assert!(has_software_authenticator(&tree(
        "heirloom-ceremony",
        &["--features", "software-authenticator"]
    )));
}
