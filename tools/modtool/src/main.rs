// SPDX-License-Identifier: GPL-2.0

//! The build steps of the module that Kbuild does not have.
//!
//! `layout` turns the BTF of the target kernel into constants, with which the module compares its mirrored structs.
//! `names` finds the functions that get stable names and can be traced. `post-link` turns the module's references to
//! unexported symbols into livepatch relocations, and writes the module's BTF. It refuses a module that livepatch could
//! not remove safely, or that has sections which the loader does not expect.

mod btf;
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
    /// Write the lists by which the functions that C calls get stable names (for objcopy), and an entry for tracers (for opt).
    Names {
        /// The wanted names, lines of `FILE CALLBACK C-FUNCTION [NAME]`.
        #[arg(long)]
        list: PathBuf,
        /// The file of renames to write.
        #[arg(long)]
        renames: PathBuf,
        /// The file of attributes to write.
        #[arg(long)]
        entries: PathBuf,
        /// The symbols of the object or bitcode file, one a line.
        symbols: PathBuf,
    },
    /// Turn the references of a linked module to the listed symbols into livepatch relocations.
    PostLink {
        /// The names that may be resolved by livepatch, one a line.
        #[arg(long)]
        symbols: PathBuf,
        /// The kernel's Module.symvers: it must have every other undefined symbol.
        #[arg(long)]
        symvers: PathBuf,
        /// The kernel's BTF, as for `layout`.
        #[arg(long)]
        btf: PathBuf,
        /// The list of functions that the module's BTF describes, as for `names`.
        #[arg(long)]
        list: PathBuf,
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
        Command::Names {
            list,
            renames,
            entries,
            symbols,
        } => names::run(&symbols, &list, &renames, &entries),
        Command::PostLink {
            symbols,
            symvers,
            btf,
            list,
            out,
            module,
        } => post_link::run(&module, &out, &symbols, &symvers, &btf, &list),
    }
}
