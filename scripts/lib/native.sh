# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2034 # one set of variables, shared by these files
# Native: the machine itself is Debian 13 and takes the root folder's place. With NETKIT_RS_NATIVE=install the set-up installs
# the toolchain and the kernel's packages into the machine: for a container whose root has no CAP_SYS_ADMIN, and so cannot
# enter a root folder. Sourced by scripts/setup.

# The kernel comes from the suite's backports. They are added as a source if the machine has none.
install_toolchain() {
    local mirror packages
    # shellcheck disable=SC2016 # apt's own variable
    if ! apt-get indextargets --format '$(RELEASE)' | grep -qx "$suite-backports"; then
        mirror=$(debian_mirror)
        [ -n "$mirror" ] || { echo "no Debian source found in /etc/apt: name a mirror with NETKIT_RS_MIRROR"; return 1; }
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite-backports main" \
            >/etc/apt/sources.list.d/netkit-rs-backports.list
    fi
    apt-get update
    mapfile -t packages < <(toolchain_packages)
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
}

setup_native() {
    local missing
    missing=$(native_missing)
    if [ -n "$missing" ] && [ "$installs" = yes ]; then
        is_debian_13 || die 'NETKIT_RS_NATIVE=install, and this machine is not Debian 13 (trixie)'
        [ "$(id -u)" = 0 ] || die 'NETKIT_RS_NATIVE=install installs packages: run it as root'
        need_space /usr 5000 'the toolchain'
        progress=apt_progress step toolchain "installing the toolchain into this machine (NETKIT_RS_NATIVE=install)" install_toolchain
    elif [ -n "$missing" ]; then
        die "NETKIT_RS_NATIVE=1, and this machine lacks: $missing (NETKIT_RS_NATIVE=install installs it)"
    fi
}
