// SPDX-License-Identifier: GPL-2.0
//! Compiles the BPF programs of `bpf/` to objects which the tests embed.

fn main() {
    bpf_objects::compile_to_out_dir("bpf");
}
