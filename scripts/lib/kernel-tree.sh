# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Steps of preparing a kernel tree. Sourced by scripts/lib/kernel.sh, and, from a copy, by the dkms package's build.

# copy_tools FROM BUILD: takes objtool and resolve_btfids from the tools of the package linux-kbuild-…, which are built from the
# same source. Sets `made`: options of make that name what it need not build.
copy_tools() {
    local tool
    made=()
    for tool in objtool/objtool.real-x86 bpf/resolve_btfids/resolve_btfids; do
        [ -x "$1/$tool" ] || continue
        mkdir -p "$2/tools/${tool%/*}"
        cp "$1/$tool" "$2/tools/${tool%.real-x86}"
        made+=(-o "tools/${tool%/*}")
    done
}

# stamp_tree TREE BUILD-ID IMAGE: the tree is whole, and belongs to this image. In one move.
stamp_tree() { printf '%s\n' "$2" "$(sha256sum <"$3")" >"$1/kernel.part" && mv "$1/kernel.part" "$1/kernel"; }

# tree_fits TREE IMAGE: whether the tree is whole and belongs to this image.
tree_fits() {
    local id sum
    [ -r "$1/kernel" ] && [ -r "$2" ] && { read -r id && read -r sum; } <"$1/kernel" && [ -n "$id" ] && [ "$(sha256sum <"$2")" = "$sum" ]
}
