// SPDX-License-Identifier: GPL-2.0

//! The build steps of the module that Kbuild does not have.
//!
//! `layout` turns the BTF of the target kernel into constants, with which the module compares its mirrored structs.
//! `names` finds the functions that get stable names. `post-link` turns the module's references to unexported symbols
//! into livepatch relocations. It refuses a module that livepatch could not remove safely, or that has sections which
//! the loader does not expect.

mod layout;
mod names;
mod post_link;
mod replacements;
mod sections;

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;

#[derive(Parser)]
#[command(version, about)]
enum Command {
    /// Write the sizes and field offsets of the listed structs as Rust constants.
    Layout {
        /// An ELF file with a .BTF section (the kernel headers' `vmlinux`), or raw BTF.
        #[arg(long)]
        btf: PathBuf,
        /// The structs and fields wanted, lines of `struct|mirror NAME: FIELD FIELD …`.
        #[arg(long)]
        list: PathBuf,
        /// The build ID of that kernel, in hexadecimal digits.
        #[arg(long)]
        build_id: String,
        /// The Rust file to write.
        #[arg(long)]
        out: PathBuf,
    },
    /// Write the list of renames for objcopy, so that the functions that C calls have stable names.
    Names {
        /// The wanted names, lines of `FILE CALLBACK NAME`.
        #[arg(long)]
        list: PathBuf,
        /// The file of renames to write.
        #[arg(long)]
        out: PathBuf,
        /// The object file.
        object: PathBuf,
    },
    /// Turn the references of a linked module to the listed symbols into livepatch relocations.
    PostLink {
        /// The names that may be resolved by livepatch, one a line.
        #[arg(long)]
        symbols: PathBuf,
        /// The kernel's Module.symvers: it must have every other undefined symbol.
        #[arg(long)]
        symvers: PathBuf,
        /// The module to write.
        #[arg(long)]
        out: PathBuf,
        /// The module as Kbuild linked it.
        module: PathBuf,
    },
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Layout {
            btf,
            list,
            build_id,
            out,
        } => layout::run(&btf, &list, &build_id, &out),
        Command::Names { list, out, object } => names::run(&object, &list, &out),
        Command::PostLink {
            symbols,
            symvers,
            out,
            module,
        } => post_link::run(&module, &out, &symbols, &symvers),
    }
}
