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

make_root_folder() {
    local part=$root.part mirror options=() line
    # A user's subuids own files within it, so removing it needs the namespace too.
    "${private[@]}" rm -rf --one-file-system "$part"
    rm -rf "$part"
    mkdir -p "$part"
    mirror=$(debian_mirror)
    if have apt-config; then
        while IFS= read -r line; do options+=(--aptopt="$line"); done < <(apt_options)
    fi
    # The backports line is the suite's own line with another suite name.
    # shellcheck disable=SC2016 # $1 is the hook's own
    "${private[@]}" mmdebstrap --mode=root --variant=minbase --skip=cleanup/reproducible --format=directory \
        "${options[@]}" --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --setup-hook='sed -n "/^deb .* '"$suite"' /{s/ '"$suite"' / '"$suite"'-backports /p;q}" "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/backports.list"; test -s "$1/etc/apt/sources.list.d/backports.list"' \
        --include="$(grep -v '^#' "$checkout/scripts/packages" | tr -s ' \n' ',' | sed 's/,$//')" \
        --customize-hook='mkdir -p "$1'"$inside_checkout"'" "$1'"$inside_cache"'"' \
        "$suite" "$part" ${mirror:+"$mirror"}
    mv "$part" "$root"
}

setup_root_folder() {
    # The folder is renamed into place when whole: its being there is the stamp.
    [ -d "$root" ] && return
    have mmdebstrap ||
        die 'mmdebstrap is missing: as root, apt-get install mmdebstrap (Debian, Ubuntu); dnf install mmdebstrap (Fedora); pacman -S mmdebstrap (Arch)'
    need_space "$cache" 8000 'the first set-up'
    step root-folder "making the Debian 13 root folder with the toolchain (about 2 minutes)" make_root_folder
}
