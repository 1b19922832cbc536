# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2034 # one set of variables, shared by these files
# A private mount namespace, so that nothing stays mounted on the host. Root needs no more; a user gets a user namespace
# in which he himself is root (what root writes into the checkout is the user's own) and his subuids are the others.
# Sourced by scripts/setup and scripts/in-root.

# Sets the array `private`: the words to put before a command.
private_namespace() {
    have unshare || die 'the command unshare is missing: install the package util-linux'
    if [ "$(id -u)" = 0 ]; then
        private=(unshare --mount --propagation private)
        "${private[@]}" true 2>/dev/null ||
            die 'root may not make a mount namespace here: run the container with CAP_SYS_ADMIN (docker: --privileged), or, on Debian 13, set NETKIT_RS_NATIVE=install to install the toolchain into it'
        return
    fi
    have newuidmap || die 'the command newuidmap is missing: as root, apt-get install uidmap'
    grep -q "^\($(id -un)\|$(id -u)\):" /etc/subuid 2>/dev/null ||
        die "no subordinate user ids for $(id -un): as root, usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
    unshare --help | grep -q -e --map-auto ||
        die 'this unshare is older than util-linux 2.38 and lacks --map-auto: run as root, or take a newer distribution'
    private=(unshare --user --map-root-user --map-auto --mount --propagation private)
    "${private[@]}" true 2>/dev/null ||
        die 'user namespaces are switched off here (see the sysctls kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns): switch them on, or run as root'
}
