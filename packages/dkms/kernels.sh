# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Functions about an installed kernel: whether it can take the module, and what building the module for it needs. Sourced by
# `build` and `report`, which run on the user's machine.
# shellcheck source=scripts/lib/kernel-config.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/kernel-config.sh"
# shellcheck source=scripts/lib/kernel-tree.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/kernel-tree.sh"

# For each kernel a folder: the prepared tree (source/, build/, kernel), build.log, and `why-not` if there is no
# module: a word for dkms (never; lacking, if another package may help; failed), and a line for people.
state=/var/lib/netkit-rs

# The folder of a kernel's headers. Fails if they are not installed.
headers_of() { readlink -e "/lib/modules/$1/build"; }

# The version of an installed package. One that is unpacked and not configured yet counts: its files are there.
installed_version() {
    # shellcheck disable=SC2016 # dpkg-query expands
    dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -nE 's/^(installed|unpacked|half-configured|triggers-awaited|triggers-pending) //p'
}

# package_of FILE: the version of the package that the file belongs to.
package_of() { installed_version "$(dpkg-query -S "$1" 2>/dev/null | cut -d: -f1)"; }

# does_not_qualify RELEASE: prints why this kernel can never take the module. Prints nothing if it can.
does_not_qualify() {
    local headers
    [ "$(uname -m)" = x86_64 ] || { echo "the module exists for amd64 only"; return; }
    headers=$(headers_of "$1") || { echo "its headers are not installed (apt install linux-headers-$1)"; return; }
    config_lacks "$headers/.config"
}

# prebuilt RELEASE: whether a package netkit-rs-modules-RELEASE has brought the module.
prebuilt() { compgen -G "/usr/lib/modules/$1/updates/netkit-rs/netkit_rs.ko*" >/dev/null; }

# built RELEASE: whether dkms has installed the module.
built() { compgen -G "/usr/lib/modules/$1/updates/dkms/netkit_rs.ko*" >/dev/null; }

# kernel_source RELEASE: prints the name of the package with this kernel's source, as linux-source-7.3.
kernel_source() { sed -nE 's/^([0-9]+\.[0-9]+)[.~+-].*/linux-source-\1/p' <<<"$1"; }

# toolchain RELEASE: sets `cc` and `llvm`, the names of the kernel's own C compiler and of the suffix of the LLVM tools.
toolchain() {
    local headers
    headers=$(headers_of "$1") || return 1
    cc=$(kernel_cc "$headers/.config")
    llvm=-$(kernel_llvm "$headers/.config")
}

# prepared RELEASE: whether the kernel tree is there, and belongs to the kernel that is installed under this name now.
prepared() {
    local image
    image=$(kernel_image "$1") && tree_fits "$state/$1" "$image"
}

# is_missing RELEASE: prints what a build for this kernel lacks on this machine, and how to get it. Prints nothing if
# everything is there.
is_missing() {
    local headers wanted found image tool package missing=()
    headers=$(headers_of "$1") || return 0
    toolchain "$1"
    # shellcheck disable=SC2154 # set by toolchain
    for tool in "$cc" "clang$llvm" "llvm-link$llvm" "opt$llvm" "llvm-objcopy$llvm" rustc bindgen pahole make flex bison bc xz; do
        command -v "$tool" >/dev/null || missing+=("the program $tool is missing")
    done
    wanted=$(config_value "$headers/.config" RUSTC_VERSION_TEXT)
    found=$(rustc --version 2>/dev/null) || found=none
    [ "$found" = "$wanted" ] || missing+=("the kernel was built by \"$wanted\", and rustc is \"$found\": install that version of rustc and rust-src")
    [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/core" ] || missing+=("the library's source is missing (apt install rust-src)")
    wanted=$(config_value "$headers/.config" CC_VERSION_TEXT)
    found=$("$cc" --version 2>/dev/null | head -n 1)
    [ "$(compiler_version "$found")" = "$(compiler_version "$wanted")" ] || missing+=("the kernel was built by \"$wanted\", and $cc is \"${found:-missing}\"")
    # While a kernel is replaced under the same name, headers of one build may lie beside the image of another.
    wanted=$(installed_version "linux-headers-$1")
    if image=$(kernel_image "$1") && found=$(package_of "$image") && [ "$found" != "$wanted" ]; then
        missing+=("the headers are of version ${wanted:-none}, and the kernel is of $found")
    fi
    if ! prepared "$1"; then
        package=$(kernel_source "$1")
        found=$(installed_version "$package")
        [ -n "$wanted" ] || missing+=("$headers belongs to no package linux-headers-$1")
        if [ -n "$wanted" ] && { [ "$found" != "$wanted" ] || ! [ -r "/usr/src/$package.tar.xz" ]; }; then
            missing+=("the source of this kernel is not installed (apt install $package=$wanted)")
        fi
    fi
    kernel_image "$1" >/dev/null || missing+=("the kernel itself is not installed (apt install linux-image-$1)")
    printf '%s\n' "${missing[@]}" | paste -sd ';' | sed 's/;/; /g'
}

# kernel_image RELEASE: prints the path of the bootable kernel.
kernel_image() {
    local file
    for file in "/usr/lib/modules/$1/vmlinuz" "/boot/vmlinuz-$1"; do
        if [ -r "$file" ]; then echo "$file"; return; fi
    done
    return 1
}
