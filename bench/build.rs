// SPDX-License-Identifier: GPL-2.0
//! Compiles the BPF programs of `bpf/` to objects which the benchmark embeds.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const CLANG: &str = "clang-19";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-changed=bpf");
    for entry in fs::read_dir("bpf").expect("bench/bpf must be readable") {
        let source = entry.expect("bench/bpf must be readable").path();
        if source.extension().is_none_or(|ext| ext != "c") {
            continue;
        }
        let object = out.join(source.with_extension("o").file_name().unwrap_or_default());
        let status = Command::new(CLANG)
            .args(["-g", "-O2", "-Wall", "-Werror", "-target", "bpf"])
            // Where Debian keeps asm/types.h, which clang leaves out for the bpf target.
            .arg("-I/usr/include/x86_64-linux-gnu")
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(&object)
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => panic!("{CLANG} failed on {}: {status}", source.display()),
            Err(error) => panic!("cannot run {CLANG} (install it): {error}"),
        }
    }
}
