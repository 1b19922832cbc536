// SPDX-License-Identifier: GPL-2.0
//! Compiles the demo's BPF programs to target/demo, where demo/run looks for them.

fn main() {
    let objects = bpf_objects::compile_to_target("../demo", "demo");
    println!("cargo::rustc-env=DEMO_OBJECTS={}", objects.display());
}
