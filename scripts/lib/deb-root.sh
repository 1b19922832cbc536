# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2034 # one set of variables, shared by these files
# The second root folder: Debian's tools for packages, which the first one, with the toolchain, does not have. It is made like
# the first, by the same functions, at the first `make deb`. Sourced by scripts/deb and scripts/test-deb.

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/lib/steps.sh
. "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
# shellcheck source=scripts/lib/namespace.sh
. "$(dirname "${BASH_SOURCE[0]}")/namespace.sh"
# shellcheck source=scripts/lib/inside.sh
. "$(dirname "${BASH_SOURCE[0]}")/inside.sh"
# shellcheck source=scripts/lib/mmdebstrap.sh
. "$(dirname "${BASH_SOURCE[0]}")/mmdebstrap.sh"
# shellcheck source=scripts/lib/root-folder.sh
. "$(dirname "${BASH_SOURCE[0]}")/root-folder.sh"

deb_packages() { grep -v '^#' "$checkout/scripts/packages-deb" | tr -s ' ' '\n'; }

# Sets `root` to the second root folder and `enter` to the words that run a command in it; makes the folder first, if need be.
# Native: the machine's own tools.
deb_root_folder() {
    local tool missing=''
    private=()
    if [ "$native" = yes ]; then
        for tool in dh dh_dkms lintian apt-ftparchive mke2fs; do have "$tool" || missing+=" $tool"; done
        [ -z "$missing" ] || die "this machine lacks:$missing (apt-get install $(deb_packages | paste -sd ' '))"
    else
        root=$cache/root-deb-$({ echo "$suite"; cat "$checkout/scripts/packages-deb"; } | sha256sum | cut -c1-12)
        private_namespace
        exec 9>"$cache/lock"
        flock 9
        if ! [ -d "$root" ]; then
            find_mmdebstrap
            need_space "$cache" 2000 "the root folder with Debian's tools for packages"
            progress=apt_progress step root-folder-deb "making the root folder with Debian's tools for packages" \
                make_root_folder "$root" "$suite" "$(deb_packages | paste -sd,)"
        fi
        exec 9>&-
    fi
    inside_words "$root"
}
