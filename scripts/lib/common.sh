# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # one set of variables, shared by these files
# What every script here shares: where things lie, and how to speak to the user. Sourced, never run.
#
# The checkout holds no downloads. They lie in one cache folder, which `make distclean` removes:
#   root-<hash>/     the root folder: a Debian 13 tree with the exact toolchain and the kernel packages
#   kernel/<pkg>/    {source,build}: the prepared kernel tree of one kernel package version
#   variant/<name>/  {build,modules}: a kernel of our own, for `make test-debug` (scripts/lib/variant.sh)
#   cargo/, home/    cargo's downloads, and HOME within the root folder
#   mmdebstrap/      mmdebstrap, where the machine has none (scripts/lib/mmdebstrap.sh); keys/: Debian's archive keys for it
#   log/             the long output of the steps of scripts/setup

PATH=$PATH:/usr/sbin:/sbin     # chroot and the like are not in every user's path

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${NETKIT_RS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/netkit-rs}
suite=trixie
series=7.3                     # the kernel series: linux-source-7.3
flavour=amd64
inside_checkout=/netkit-rs     # where the two lie within the root folder
inside_cache=/cache

say() { printf 'netkit-rs: %s\n' "$*" >&2; }
die() { printf 'netkit-rs: error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Native: this machine is itself Debian 13 with the toolchain and a kernel of the series, so no root folder is needed.
# Within a root folder (NETKIT_RS_INSIDE) everything is native.
native=no
is_debian_13() { [ -r /etc/os-release ] && grep -qx 'VERSION_CODENAME=trixie' /etc/os-release; }
native_tools='gcc-14 clang-19 llvm-link-19 ld.lld-19 rustc cargo bindgen pahole make flex bison bc'
native_missing() {
    local tool missing=''
    is_debian_13 || { echo 'Debian 13 (trixie)'; return; }
    for tool in $native_tools; do have "$tool" || missing+=" $tool"; done
    [ -d /usr/share/cargo ] || missing+=' cargo'
    compgen -G "/usr/src/linux-headers-$series.*-$flavour" >/dev/null || missing+=" linux-headers-$series.…-$flavour"
    [ -e "/usr/src/linux-source-$series.tar.xz" ] || missing+=" linux-source-$series"
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

if [ "$native" = yes ]; then
    root=''
    inside_checkout=$checkout
    inside_cache=$cache
    state=$cache/native
else
    root=$cache/root-$({ echo "$suite"; cat "$checkout/scripts/packages"; } | sha256sum | cut -c1-12)
    state=$root/.netkit-rs
fi

# The Debian packages of the toolchain, one a line.
toolchain_packages() { grep -v '^#' "$checkout/scripts/packages" | tr -s ' ' '\n'; }

# The kernel chosen at the first set-up is kept in a file: release and package version, as in
# "7.3.4+deb13-amd64 7.3.4-1~bpo13+1". A pin has a file of its own, so that switching back and forth is quick.
pin=${NETKIT_RS_KERNEL:-}
pin=${pin%"-$flavour"}
choice=$state/kernel-${pin:-newest}
release='' package_version='' trees=''
# Paths in a built tree are absolute, so a native tree is not the root folder's. `trees` is as seen where the build runs.
if [ "$native" = yes ]; then trees=native/kernel; else trees=kernel; fi
read_choice() { [ -r "$choice" ] && read -r release package_version <"$choice"; }

# The kernel that modules are built for and the VM boots: Debian's, or one of our own, which scripts/lib/variant.sh builds.
variant=${NETKIT_RS_VARIANT:-stock}
case $variant in
    stock | debug | race) ;;
    *) die "NETKIT_RS_VARIANT is '$variant'; it can be stock, debug or race" ;;
esac
# variant_folder CACHE: where it lies, in the cache folder as seen here or there. After read_choice.
variant_folder() {
    local key
    key=$({ grep -hE '^(# )?CONFIG_' "$checkout"/scripts/kernels/{base,"$variant"}.config; echo "$trees ${root##*/}"; } | sha256sum | cut -c1-12)
    echo "$1/variant/$variant-$package_version-$key"
}
# Sets `version` to its release, as in 7.3.4-netkit-debug, once it is built.
version=''
variant_version() { version=$(sed -n 2p "$(variant_folder "$cache")/kernel" 2>/dev/null) && [ -n "$version" ]; }
