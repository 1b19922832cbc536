// SPDX-License-Identifier: GPL-2.0
//! Compiles the demo's BPF programs to target/demo, where demo/run finds them.

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

const CLANG: &str = "clang-19";
const SOURCES: &str = "../demo";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // target/PROFILE/build/netkit-rs-HASH/out
    let target = out
        .ancestors()
        .nth(4)
        .expect("OUT_DIR lies in a target folder");
    let demo = target.join("demo");
    fs::create_dir_all(&demo).expect("the target folder must be writable");
    println!("cargo::rustc-env=DEMO_OBJECTS={}", demo.display());
    println!("cargo::rerun-if-changed={SOURCES}");
    let mut compiled = 0;
    for entry in fs::read_dir(SOURCES).expect("demo/ must be readable") {
        let source = entry.expect("demo/ must be readable").path();
        if source.extension().is_some_and(|ext| ext == "c") {
            compile(&source, &demo);
            compiled += 1;
        }
    }
    assert!(compiled > 0, "there is no program in demo/");
}

fn compile(source: &Path, folder: &Path) {
    let object = folder.join(source.with_extension("o").file_name().unwrap_or_default());
    // Compiled anew when somebody removes it, too.
    println!("cargo::rerun-if-changed={}", object.display());
    let status = Command::new(CLANG)
        .args(["-g", "-O2", "-Wall", "-Werror", "-target", "bpf"])
        // Where Debian keeps asm/types.h, which clang leaves out for the bpf target.
        .arg("-I/usr/include/x86_64-linux-gnu")
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(&object)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{CLANG} failed on {}: {status}", source.display()),
        Err(error) => panic!("cannot run {CLANG} (install it): {error}"),
    }
}
