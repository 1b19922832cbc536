// SPDX-License-Identifier: GPL-2.0
//! Compiles BPF programs in C to object files, for build scripts. An error ends the build with a message, and cargo
//! learns from which files the objects are made.

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

const CLANG: &str = "clang-19";

/// Compiles every `.c` file of `sources` to a `.o` of the same name in `OUT_DIR`, for `include_bytes!`.
pub fn compile_to_out_dir(sources: &str) {
    compile(sources, &out_dir());
}

/// Compiles every `.c` file of `sources` to a `.o` of the same name in `target/NAME`, for programs that look for the
/// objects at run time. Answers the folder.
pub fn compile_to_target(sources: &str, name: &str) -> PathBuf {
    let out = out_dir();
    // target/PROFILE/build/PACKAGE-HASH/out
    let target = out
        .ancestors()
        .nth(4)
        .expect("OUT_DIR lies in a target folder");
    let folder = target.join(name);
    fs::create_dir_all(&folder).expect("the target folder must be writable");
    for object in compile(sources, &folder) {
        // Compiled again if the object file is removed, too.
        println!("cargo::rerun-if-changed={}", object.display());
    }
    folder
}

fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
}

/// Returns the objects. There is at least one.
fn compile(sources: &str, folder: &Path) -> Vec<PathBuf> {
    println!("cargo::rerun-if-changed={sources}");
    let mut objects = Vec::new();
    for entry in fs::read_dir(sources).unwrap_or_else(|error| panic!("{sources}: {error}")) {
        let source = entry
            .unwrap_or_else(|error| panic!("{sources}: {error}"))
            .path();
        if source.extension().is_some_and(|extension| extension == "c") {
            objects.push(compile_one(&source, folder));
        }
    }
    assert!(!objects.is_empty(), "there is no BPF program in {sources}");
    objects
}

fn compile_one(source: &Path, folder: &Path) -> PathBuf {
    let object = folder.join(source.with_extension("o").file_name().unwrap_or_default());
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
        Ok(status) if status.success() => {
            date_like(source, &object);
            object
        }
        Ok(status) => panic!("{CLANG} failed on {}: {status}", source.display()),
        Err(error) => panic!("cannot run {CLANG} (install it): {error}"),
    }
}

/// Gives the object its source's date: it is written after the build script began, and cargo would take it for changed, and
/// build everything anew, each time.
fn date_like(source: &Path, object: &Path) {
    let date = fs::metadata(source).and_then(|metadata| metadata.modified());
    let dated = date.and_then(|date| {
        let object = fs::File::options().write(true).open(object)?;
        object.set_modified(date)
    });
    dated.unwrap_or_else(|error| panic!("{}: {error}", object.display()));
}
