# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2034 # one set of variables, shared by these files
# mmdebstrap, the program that makes the root folder: the machine's own, or one that apt fetches and dpkg-deb unpacks in the
# cache folder. The same goes for what mmdebstrap needs and the machine lacks: modules of Perl, Debian's archive keys. apt
# verifies each package by the machine's own keys. Nothing is installed, and root is not needed. Sourced by scripts/setup.

fetched=$cache/mmdebstrap # the unpacked packages, and the file `fetched`, which names them

# What mmdebstrap uses of Perl beyond the package perl-base.
perl_is_whole() {
    perl -MEnglish -MFile::Find -MMath::BigInt -MPod::Usage -MTerm::ANSIColor -MTime::HiRes -e 'require "syscall.ph"; require "sys/ioctl.ph"' \
        >/dev/null 2>&1
}

# Prints the file with Debian's archive keys.
debian_keys() {
    local file
    for file in /usr/share/keyrings/debian-archive-keyring.gpg "$fetched/usr/share/keyrings/debian-archive-keyring.gpg"; do
        if [ -r "$file" ]; then echo "$file"; return; fi
    done
    return 1
}

# Prints the packages to fetch. Perl's modules have to fit perl-base, so their packages are named by its version.
packages_to_fetch() {
    have mmdebstrap || echo mmdebstrap
    # shellcheck disable=SC2016 # perl expands
    perl_is_whole || perl -e 'printf "perl-modules-%vd libperl%vd", ($^V) x 2' | sed -E 's/\.[0-9]+( |$)/\n/g'
    [ -r /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
}

# The machine's apt with its own sources and keys, and a state of our own, which needs no root.
private_apt() {
    local state=$fetched.part/apt
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none \
        -o "Dir::State=$state" -o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state" "$@"
}

# The machine's package lists may be missing, or name versions that the archive no longer has. A source that does not
# answer is no failure as long as the packages are found in another.
download() {
    apt-get -q -o APT::Sandbox::User=root download "$@" && return
    echo 'the package lists are missing or old: fetching them'
    private_apt update || echo 'not every source answered'
    private_apt download "$@"
}

fetch_packages() {
    local archive
    rm -rf "$fetched" "$fetched.part"
    mkdir -p "$fetched.part/archives"
    cd "$fetched.part/archives" || return
    download "$@"
    for archive in ./*.deb; do dpkg-deb -x "$archive" "$fetched.part"; done
    rm -rf "$fetched.part/archives" "$fetched.part/apt"
    echo "$*" >"$fetched.part/fetched"
    mv "$fetched.part" "$fetched"
}

# One line, naming the one command that helps where no package can be fetched.
cannot_fetch() {
    if have dnf; then die "mmdebstrap is missing: as root, dnf install mmdebstrap debian-keyring"
    elif have pacman; then die "mmdebstrap is missing: as root, pacman -S mmdebstrap debian-archive-keyring"
    fi
    die "this machine has no apt, which mmdebstrap needs: install mmdebstrap with Debian's archive keys by its own package manager"
}

# Sets the array `mmdebstrap`: the words that run it.
find_mmdebstrap() {
    local packages=() part
    mmdebstrap=(mmdebstrap)
    mapfile -t packages < <(packages_to_fetch)
    if [ ${#packages[@]} = 0 ]; then return; fi
    { have apt-get && have dpkg-deb && have perl; } || cannot_fetch
    # What an earlier run fetched is taken if it is the same: a machine's packages change.
    if [ "$(cat "$fetched/fetched" 2>/dev/null)" != "${packages[*]}" ]; then
        hint="Is the network there? As root this may help: apt-get install ${packages[*]}"
        step mmdebstrap "fetching ${packages[*]} with apt into the cache folder (nothing is installed)" fetch_packages "${packages[@]}"
    fi
    # mmdebstrap looks for its helper mmtarfilter in the path.
    PATH=$fetched/usr/bin:$PATH
    for part in "$fetched"/usr/share/perl/[0-9]* "$fetched"/usr/lib/*/perl/[0-9]*; do
        if [ -d "$part" ]; then PERL5LIB=$part${PERL5LIB:+:$PERL5LIB}; fi
    done
    if [ -n "${PERL5LIB:-}" ]; then export PERL5LIB; fi
}
