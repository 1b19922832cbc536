# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the configuration of a kernel (CONFIG is its .config) says of it. Sourced by the scripts here, and, from a copy, by those
# of the dkms package.

# config_value CONFIG OPTION: prints the value, without quotes.
config_value() { sed -nE "s/^CONFIG_$2=\"?([^\"]*)\"?\$/\1/p" "$1"; }
# The C compiler that built the kernel, and the major version of rustc's LLVM.
kernel_cc() { config_value "$1" CC_VERSION_TEXT | cut -d' ' -f1; }
kernel_llvm() { config_value "$1" RUSTC_LLVM_MAJOR_VERSION; }

# config_lacks CONFIG: what the module needs and this kernel does not have, in one line. Prints nothing if all is there.
config_lacks() {
    local option missing=''
    for option in RUST NETKIT LIVEPATCH KALLSYMS_ALL DEBUG_INFO_BTF; do
        [ "$(config_value "$1" "$option")" = y ] || missing+=", CONFIG_$option is not set"
    done
    echo "${missing#, }"
}

# compiler_version TEXT: without the revision of Debian's package, which is in brackets. It changes while a kernel is on offer,
# and the compiler stays the same: gcc (Debian 16.2.0-3) 16.2.0.
compiler_version() { sed -E 's/ \([^)]*\)//' <<<"$1"; }

# same_config CONFIG CONFIG: prints the lines that differ, and fails if there are any. The assembler and the linker may have
# another version: what the kernel's configuration makes of it is in lines of its own.
same_config() { diff <(comparable_config "$1") <(comparable_config "$2"); }
comparable_config() { sed -E '/^CONFIG_CC_VERSION_TEXT=/s/ \([^)]*\)//; /^CONFIG_(AS|LD)_VERSION=/d' "$1"; }
