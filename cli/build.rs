// SPDX-License-Identifier: GPL-2.0
//! Compiles the BPF programs: those of the trace, which the command contains, and the demo's, in target/demo, where demo/run looks
//! for them.

fn main() {
    bpf_objects::compile_to_out_dir("bpf");
    let objects = bpf_objects::compile_to_target("../demo", "demo");
    println!("cargo::rustc-env=DEMO_OBJECTS={}", objects.display());
}
