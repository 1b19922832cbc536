# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # what common.sh and namespace.sh set
# The root folder: Debian's suite with the toolchain of scripts/packages, made by mmdebstrap. It is built under a name of
# its own and renamed when whole, so that an interrupted run leaves nothing that looks finished. Sourced by scripts/setup.

# The mirror: NETKIT_RS_MIRROR, else the machine's own Debian source, else mmdebstrap's default (given no mirror).
# Sources have two spellings: "URIs:" in .sources files, "deb [options] URI suite component" in .list files. The archive
# proper is the one under …/debian.
debian_mirror() {
    local files=()
    if [ -n "${NETKIT_RS_MIRROR:-}" ]; then echo "$NETKIT_RS_MIRROR"; return; fi
    grep -qsx 'ID=debian' /etc/os-release || return 0
    mapfile -t files < <(compgen -G '/etc/apt/sources.list.d/*.sources'; compgen -G '/etc/apt/sources.list.d/*.list'; compgen -G /etc/apt/sources.list)
    [ ${#files[@]} -gt 0 ] || return 0
    awk '$1 == "URIs:" { uri = $2 }
         $1 == "deb" { sub(/\[[^]]*\]/, ""); uri = $2 }
         uri ~ /^(https?|file|copy):.*\/debian\/?$/ && !found { print uri; found = 1 }' "${files[@]}"
}

# How the machine's own apt reaches the archive (proxy, clocks that disagree) holds within the root folder too.
apt_options() {
    apt-config dump --no-empty --format '%f "%v";%n' |
        sed -nE '/^Acquire::(http::Proxy|https::Proxy|Check-Valid-Until|Check-Date) /p'
}

# What dpkg leaves out: what nobody reads here, and what is large and unused (static libraries of LLVM; of rustc's source
# all but the library). As a root folder that fails is made anew, dpkg need not wait for the disk.
dpkg_options() {
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/locale/*' \
        'path-exclude=/usr/lib/llvm-*/lib/*.a' 'path-exclude=/usr/src/rustc-*/*' 'path-include=/usr/src/rustc-*/library/*'
}

# The keys in a folder of their own: apt takes the files of a folder by their names.
copy_keys() {
    rm -rf "$cache/keys"
    mkdir -p "$cache/keys"
    cp -L "$(debian_keys)" "$cache/keys/debian-archive-keyring.gpg"
}

# What else apt may take kernels from, besides the suite itself.
more_of() { if [ "$1" = sid ]; then echo experimental; else echo "$1-backports"; fi; }

# make_root_folder ROOT SUITE PACKAGES [DPKG-OPTIONS]: DPKG-OPTIONS, a line each, stand in the place of dpkg_options.
make_root_folder() {
    local part=$1.part suite=$2 packages=$3 dpkg=${4:-$(dpkg_options)} mirror options=() line
    # A user's subuids own files within it, so removing it needs the namespace too.
    "${private[@]}" rm -rf --one-file-system "$part"
    rm -rf "$part"
    mkdir -p "$part"
    mirror=$(debian_mirror)
    copy_keys
    if have apt-config; then
        while IFS= read -r line; do options+=(--aptopt="$line"); done < <(apt_options)
    fi
    # The options of dpkg come by a hook, not by --dpkgopt, for which mmdebstrap would need Python. The second line of sources is
    # the suite's own with another suite name. With --verbose the log has the lines of apt, which apt_progress counts.
    # shellcheck disable=SC2016 # $1 is the hook's own
    "${private[@]}" "${mmdebstrap[@]}" --verbose --mode=root --variant=minbase --skip=cleanup/reproducible --format=directory \
        --keyring="$cache/keys" \
        "${options[@]}" --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
        --setup-hook='mkdir -p "$1/etc/dpkg/dpkg.cfg.d" && echo "'"$dpkg"'" >"$1/etc/dpkg/dpkg.cfg.d/netkit-rs"' \
        --setup-hook='sed -n "/^deb .* '"$suite"' /{s/ '"$suite"' / '"$(more_of "$suite")"' /p;q}" "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/more.list"; test -s "$1/etc/apt/sources.list.d/more.list"' \
        --include="$packages" \
        --customize-hook='mkdir -p "$1'"$inside_checkout"'" "$1'"$inside_cache"'"' \
        "$suite" "$part" ${mirror:+"$mirror"}
    mv "$part" "$1"
}

# The root folder, and for a kernel of another suite the one with the toolchain of that suite. A folder is renamed into place
# when whole: its being there is the stamp.
setup_root_folder() {
    # shellcheck disable=SC2034  # read by step
    hint='When a mirror does not answer, name another with NETKIT_RS_MIRROR'
    if ! [ -d "$root" ]; then
        find_mmdebstrap
        need_space "$cache" 6000 'the first set-up'
        progress=apt_progress step root-folder "making the Debian 13 root folder with the toolchain" \
            make_root_folder "$root" "$suite" "$(toolchain_packages | paste -sd,)"
    fi
    if ! [ -d "$build_root" ]; then
        find_mmdebstrap
        need_space "$cache" 4000 "the toolchain of $kernel_suite"
        progress=apt_progress step "root-folder-$kernel_suite" "making the root folder with the toolchain of $kernel_suite" \
            make_root_folder "$build_root" "$kernel_suite" "$(module_packages | paste -sd,)"
    fi
}
