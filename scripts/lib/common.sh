# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # one set of variables, shared by these files
# What every script here shares: where things lie, and how to speak to the user. Sourced, never run.
#
# The checkout holds no downloads. They lie in one cache folder, which `make distclean` removes:
#   root-<hash>/     the root folder: a Debian 13 tree with the toolchain and the kernel packages; programs are built and the VM
#                    runs in it. root-sid-<hash>/: the toolchain for sid's kernels, made when one is asked for
#   kernel/<release>/  the prepared tree of one kernel: build/, and the stamp `kernel` (build ID, checksum of the image)
#   source/<version>/  the source of one kernel package version, for all its flavours
#   variant/<name>/  {build,modules}: a kernel of our own, for `make test-debug` (scripts/lib/variant.sh)
#   cargo/, home/    cargo's downloads, and HOME within the root folder
#   mmdebstrap/      mmdebstrap, where the machine has none (scripts/lib/mmdebstrap.sh); keys/: Debian's archive keys for it
#   log/             the long output of the steps of scripts/setup
#   root-deb-<hash>/, root-vm-<hash>/, vm-archives/: for `make deb` and `make test-deb`; kselftest/, iproute2/ and
#                    cargo-mutants-<version>/: for these targets; native/: what NETKIT_RS_NATIVE makes

PATH=$PATH:/usr/sbin:/sbin     # chroot and the like are not in every user's path

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${NETKIT_RS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/netkit-rs}
inside_checkout=/netkit-rs     # where the two lie within the root folder
inside_cache=/cache

say() { printf 'netkit-rs: %s\n' "$*" >&2; }
die() { printf 'netkit-rs: error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# The kernel asked for, as a release: 7.2.12+deb13-cloud-amd64. Without a flavour it is amd64; empty, the newest amd64 of
# Debian 13's backports. What its packages are called, which suite has them, and with what they were built follows from the
# release and from the configuration in its headers.
wanted=${NETKIT_RS_KERNEL:-}
case $wanted in '' | *-amd64) ;; *) wanted+=-amd64 ;; esac
release_pattern='[0-9]+\.[0-9]+(\.[0-9]+)?([-~]rc[0-9]+)?(\+deb[0-9]+(\.[0-9]+)?)?-((cloud|rt)-)?amd64'
[[ -z $wanted || $wanted =~ ^$release_pattern$ ]] ||
    die "NETKIT_RS_KERNEL is '$NETKIT_RS_KERNEL': it is a release of Debian's kernel for amd64, as in 7.2.12+deb13-cloud-amd64"
# suite_of RELEASE: Debian 13's backports, or what is newer: sid (7.2.13+deb14-amd64) and experimental (7.3-amd64).
suite_of() { if [[ $1 == *+deb13* ]]; then echo trixie; else echo sid; fi; }
suite=trixie                              # of the root folder
kernel_suite=$(suite_of "${wanted:-+deb13}") # of the kernel, and so of the toolchain for it

# Native: this machine is itself Debian 13 with the toolchain and a kernel that qualifies, so no root folder is needed.
# Within a root folder (NETKIT_RS_INSIDE) everything is native.
native=no
is_debian_13() { [ -r /etc/os-release ] && grep -qx 'VERSION_CODENAME=trixie' /etc/os-release; }
native_tools='gcc rustc cargo bindgen pahole make flex bison bc'
native_missing() {
    local tool missing=''
    is_debian_13 || { echo 'Debian 13 (trixie)'; return; }
    for tool in $native_tools; do have "$tool" || missing+=" $tool"; done
    [ -d /usr/share/cargo ] || missing+=' cargo'
    compgen -G "/usr/src/linux-headers-${wanted:-7.*+deb13-amd64}" >/dev/null || missing+=" linux-headers-${wanted:-7.…+deb13-amd64}"
    compgen -G '/usr/src/linux-source-7.*.tar.xz' >/dev/null || missing+=' linux-source'
    echo "${missing# }"
}
# Whether the set-up installs packages: into the root folder, or, when the user says so, into this machine.
installs=yes
case ${NETKIT_RS_NATIVE:-auto} in
    1) native=yes installs=no ;;
    install) native=yes ;;
    0) native=no ;;
    auto) if [ -z "$(native_missing)" ]; then native=yes installs=no; fi ;;
    *) die "NETKIT_RS_NATIVE is '$NETKIT_RS_NATIVE'; it can be 0, 1, install or auto" ;;
esac

# The Debian packages of the toolchain, one a line: all of them, or those that build modules.
toolchain_packages() { grep -v '^#' "$checkout/scripts/packages" | tr -s ' ' '\n'; }
module_packages() { sed -n '/^# the programs/q;/^#/!p' "$checkout/scripts/packages" | tr -s ' ' '\n'; }

# `root` is where programs are built and what the VM runs on, `build_root` where the module is built: the same, but for the
# kernels of another suite.
if [ "$native" = yes ]; then
    root='' build_root=''
    inside_checkout=$checkout
    inside_cache=$cache
    state=$cache/native
else
    root=$cache/root-$({ echo "$suite"; cat "$checkout/scripts/packages"; } | sha256sum | cut -c1-12)
    build_root=$root
    if [ "$kernel_suite" != "$suite" ]; then
        build_root=$cache/root-$kernel_suite-$({ echo "$kernel_suite"; module_packages; } | sha256sum | cut -c1-12)
    fi
    state=$build_root/.netkit-rs
fi

# The kernel chosen at the first set-up is kept in a file: release and package version, as in
# "7.3.4+deb13-amd64 7.3.4-1~bpo13+1". A kernel that is asked for has a file of its own.
choice=$state/kernel-${wanted:-newest}
release='' package_version='' trees='' sources=''
# Paths in a built tree are absolute, so a native tree is not the root folder's. Both are as seen where the build runs.
if [ "$native" = yes ]; then trees=native/kernel sources=native/source; else trees=kernel sources=source; fi
read_choice() { [ -r "$choice" ] && read -r release package_version <"$choice"; }

# The kernel that modules are built for and the VM boots: Debian's, or one of our own, which scripts/lib/variant.sh builds.
variant=${NETKIT_RS_VARIANT:-stock}
case $variant in
    stock | debug | race) ;;
    *) die "NETKIT_RS_VARIANT is '$variant'; it can be stock, debug or race" ;;
esac
# Where what is built for this kernel lies, in the checkout: those that were asked for by name do not disturb each other.
ktarget=target
case ${wanted:+kernel}-$variant in
    -stock) ;;
    kernel-stock) ktarget=target/kernel-$wanted ;;
    -*) ktarget=target/kernel-$variant ;;
    *) ktarget=target/kernel-$wanted-$variant ;;
esac
# variant_folder CACHE: where it lies, in the cache folder as seen here or there. After read_choice.
variant_folder() {
    local key
    key=$({ grep -hE '^(# )?CONFIG_' "$checkout"/scripts/kernels/{base,"$variant"}.config; echo "$trees ${build_root##*/}"; } | sha256sum | cut -c1-12)
    echo "$1/variant/$variant-$package_version-$key"
}
# Sets `version` to its release, as in 7.3.4-netkit-debug, once it is built.
version=''
variant_version() { version=$(sed -n 2p "$(variant_folder "$cache")/kernel" 2>/dev/null) && [ -n "$version" ]; }

# shellcheck source=scripts/lib/kernel-config.sh
. "$checkout/scripts/lib/kernel-config.sh"
