//! Compiles the published `.proto` file; needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["heirloom/keyring.proto"], ["proto"])?;
    // No derived `Debug`: several messages carry secrets.
    prost_build::Config::new()
        .skip_debug(["."])
        .compile_fds(files)?;
    Ok(())
}
