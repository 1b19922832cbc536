# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2034 # one set of variables, shared by these files
# inside COMMAND…: runs a command within the root folder, or, natively, right here, with the same environment in both.
# Sourced after common.sh and namespace.sh.

# Sets the array `environment`. Nothing of the machine's own environment leaks in, but how to reach the network, the
# terminal, and what a user says to cargo, to make and to these scripts.
inside_environment() {
    local name tree=$inside_cache/$trees/$release config=$cache/$trees/$release/build/.config kernel cc=cc llvm=''
    # Not there yet while the set-up runs.
    if [ -n "$release" ] && [ -r "$config" ]; then
        cc=$(kernel_cc "$config")
        llvm=$(kernel_llvm "$config")
    fi
    environment=(
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin${llvm:+:/usr/lib/llvm-$llvm/bin}"
        "HOME=$inside_cache/home" "CARGO_HOME=$inside_cache/cargo" "TERM=${TERM:-dumb}" LC_ALL=C.UTF-8
        NETKIT_RS_INSIDE=1 NETKIT_RS_NATIVE=1 "NETKIT_RS_CACHE=$inside_cache"
        "NETKIT_RS_KVERSION=$release" "NETKIT_RS_KPACKAGE=$release-$package_version"
        "NETKIT_RS_KSRC=$inside_cache/$sources/$package_version" "NETKIT_RS_KBUILD=$tree/build"
        "NETKIT_RS_KIMAGE=/usr/lib/modules/$release/vmlinuz" "NETKIT_RS_KCC=$cc"
        "NETKIT_RS_OUTSIDE=$checkout:$cache:$root" DEBIAN_FRONTEND=noninteractive "NETKIT_RS_KTARGET=$ktarget"
    )
    # A kernel of our own takes the stock one's place (env takes the last word); what is built for it gets a folder of its own.
    if [ "$variant" != stock ] && variant_version; then
        kernel=$(variant_folder "$inside_cache")
        environment+=(
            "NETKIT_RS_KVERSION=$version" "NETKIT_RS_KBUILD=$kernel/build" "NETKIT_RS_KLLVM=-$llvm"
            "NETKIT_RS_KMODULES=$kernel/modules/lib/modules" "NETKIT_RS_KIMAGE=$kernel/modules/lib/modules/$version/vmlinuz"
            "NETKIT_RS_KPACKAGE=${kernel##*/}"
        )
    fi
    for name in $(compgen -e); do
        case $name in
            NETKIT_RS_CACHE | NETKIT_RS_NATIVE | NETKIT_RS_INSIDE | NETKIT_RS_OUTSIDE | NETKIT_RS_K*) ;;
            *_proxy | *_PROXY | NETKIT_RS_* | CARGO_HTTP_* | CARGO_NET_* | CARGO_TERM_* | CARGO_BUILD_* | \
                CLIPPY | V | CI | RUST_BACKTRACE | RUSTFLAGS | COLUMNS) environment+=("$name=${!name}") ;;
        esac
    done
}

# inside_words ROOT: sets the array `enter`, the words to put before a command to run it in that root folder.
inside_words() {
    local root=$1
    mkdir -p "$cache/home" "$cache/cargo"
    inside_environment
    if [ "$native" = yes ]; then
        enter=(env "${environment[@]}")
    else
        enter=("${private[@]}" "$checkout/scripts/lib/enter" "$root" "$checkout" "$cache" "${environment[@]}" --)
    fi
}

inside() { inside_words "$root"; "${enter[@]}" "$@"; }
# Where the module for the kernel is built.
inside_build() { inside_words "$build_root"; "${enter[@]}" "$@"; }
