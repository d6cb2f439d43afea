//! Short sessions, each a file of `tests/cmd/`.

#[test]
fn sessions_are_as_written_down() {
    let cases = trycmd::TestCases::new();
    if let Some(program) = std::env::var_os("HEIRLOOM_PROGRAM") {
        cases.register_bin("heirloom", std::path::PathBuf::from(program));
    }
    cases
        .env("HEIRLOOM_HOME", "home")
        .env("NO_COLOR", "1")
        .case("tests/cmd/*.toml")
        .insert_var("[VERSION]", env!("CARGO_PKG_VERSION"))
        .expect("a variable's name is in brackets");
}
