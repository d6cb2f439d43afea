//! Short sessions, each a file of `tests/cmd/`.

#[test]
fn sessions_are_as_written_down() {
    trycmd::TestCases::new()
        .env("HEIRLOOM_HOME", "home")
        .env("NO_COLOR", "1")
        .case("tests/cmd/*.toml")
        .insert_var("[VERSION]", env!("CARGO_PKG_VERSION"))
        .expect("a variable's name is in brackets");
}
