# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # one set of variables, shared by these files
# The kernel: its packages from Debian's backports, and the prepared tree. Debian's headers carry no Rust metadata, so the
# tree is made from linux-source with the headers' own .config and Module.symvers, by the same compilers, and belongs to
# exactly that build: its folder is named by the package version and holds the kernel's GNU build ID. Sourced by scripts/setup.

kernel_image() { echo "$root/usr/lib/modules/$release/vmlinuz"; }
kernel_tree() { echo "$cache/$trees/$package_version"; }

# Whole and made for this very kernel: the tree's last file names the build ID and the checksum of the image it was read from.
kernel_ready() {
    read_choice || return 1
    local tree id sum
    tree=$(kernel_tree)
    [ -r "$tree/kernel" ] && [ -r "$(kernel_image)" ] || return 1
    { read -r id && read -r sum; } <"$tree/kernel" || return 1
    [ -n "$id" ] && [ "$(sha256sum <"$(kernel_image)")" = "$sum" ] && return
    say "the prepared kernel tree belongs to another build of $release: making it anew"
    return 1
}

# The releases on offer, oldest first: in the archive, or natively those whose headers are installed.
kernel_releases() {
    if [ "$installs" = no ]; then
        compgen -G "/usr/src/linux-headers-$series.*-$flavour" | sed 's|.*/linux-headers-||'
    else
        inside apt-cache pkgnames "linux-binary-$series." | sed -n 's/^linux-binary-//p'
    fi | sed -nE "s/^(${series/./\\.}\.[0-9]+\+deb13)-$flavour\$/\1/p" | sort -V
}

choose_kernel() {
    local offered wanted source_version
    offered=$(kernel_releases | tr '\n' ' ')
    [ -n "$offered" ] ||
        die "there is no $series kernel for $suite on offer (linux-binary-$series.*+deb13-$flavour): see whether ${suite}-backports of the mirror has one"
    wanted=${pin:-$(echo "$offered" | awk '{ print $NF }')}
    [[ " $offered" == *" $wanted "* ]] ||
        die "kernel $wanted (NETKIT_RS_KERNEL) is not on offer; these are: $offered"
    release=$wanted-$flavour
    if [ "$installs" = no ]; then
        package_version=$(dpkg-query -W -f '${Version}' "linux-headers-$release")
        source_version=$(dpkg-query -W -f '${Version}' "linux-source-$series")
        [ "$package_version" = "$source_version" ] ||
            die "linux-headers-$release is $package_version and linux-source-$series is $source_version: install the same version of both"
        [ -r "$(kernel_image)" ] || die "$(kernel_image) is missing: apt-get install linux-binary-$release"
    else
        package_version=$(inside apt-cache madison "linux-headers-$release" | awk 'NR == 1 { print $3 }')
        inside apt-cache madison "linux-source-$series" | awk '{ print $3 }' | grep -Fqx "$package_version" ||
            die "linux-source-$series $package_version is gone from the archive: pin another kernel with NETKIT_RS_KERNEL, one of: $offered"
    fi
}

install_kernel() {
    inside apt-get install -y --no-install-recommends --allow-downgrades \
        "linux-source-$series=$package_version" "linux-config-$series=$package_version" \
        "linux-headers-$release=$package_version" "linux-binary-$release=$package_version" \
        "linux-modules-$release=$package_version"
    if [ "$native" != yes ]; then inside apt-get clean; fi
}

unpack_source() {
    local tree
    tree=$(kernel_tree)
    rm -rf "$tree"
    mkdir -p "$tree/source" "$tree/build"
    tar -xJf "$root/usr/src/linux-source-$series.tar.xz" -C "$tree/source" --strip-components=1
}

# objtool and resolve_btfids, as the package linux-kbuild-… brings them: built from this very source. Sets `made`, the
# targets that make has not to make.
copy_tools() {
    local tree=$1 from tool
    from=$root/usr/lib/linux-kbuild-${release%"-$flavour"}/tools
    made=()
    for tool in objtool/objtool.real-x86 bpf/resolve_btfids/resolve_btfids; do
        [ -x "$from/$tool" ] || continue
        mkdir -p "$tree/build/tools/${tool%/*}"
        cp "$from/$tool" "$tree/build/tools/${tool%.real-x86}"
        made+=(-o "tools/${tool%/*}")
    done
}

# Makes what modules are built against, and no more: objtool and resolve_btfids are taken from Debian's package, and of the
# kernel's Rust crates only the metadata are made (scripts/lib/rustc-for-modules).
prepare_tree() {
    local tree headers in_tree id made make
    tree=$(kernel_tree)
    headers=$root/usr/src/linux-headers-$release
    in_tree=$inside_cache/$trees/$package_version
    cp "$headers/.config" "$headers/Module.symvers" "$headers/vmlinux" "$tree/build/"
    copy_tools "$tree"
    # Run so that make does not start a second make for the build folder, which would not know of -o.
    make=(make --no-print-directory -C "$in_tree/build" -f "$in_tree/source/Makefile" "KBUILD_OUTPUT=$in_tree/build" "${made[@]}"
        CC=x86_64-linux-gnu-gcc-14 HOSTCC=gcc-14 "RUSTC=$inside_checkout/scripts/lib/rustc-for-modules" "KERNELRELEASE=$release")
    if ! inside "${make[@]}" "-j$(nproc)" prepare modules_prepare; then
        diff "$headers/.config" "$tree/build/.config" || echo "the configuration came out different (above): perhaps the toolchain is not Debian's own"
        return 1
    fi
    if ! diff "$headers/.config" "$tree/build/.config"; then
        echo "the toolchain is not the one Debian built this kernel with: its configuration came out different (above)"
        return 1
    fi
    # The stamp, last and in one move.
    # shellcheck disable=SC2016 # expanded inside
    id=$(inside bash -c '"$1/scripts/extract-vmlinux" "$2" >/tmp/vmlinux.$$ && readelf -n /tmp/vmlinux.$$; rm -f /tmp/vmlinux.$$' \
        build-id "$in_tree/source" "/usr/lib/modules/$release/vmlinuz" | sed -n 's/^ *Build ID: //p')
    [ -n "$id" ] || { echo "no build ID found in $release's vmlinuz"; return 1; }
    printf '%s\n' "$id" "$(sha256sum <"$(kernel_image)")" >"$tree/kernel.part"
    mv "$tree/kernel.part" "$tree/kernel"
}

setup_kernel() {
    if ! read_choice || ! [ -r "$(kernel_image)" ]; then
        if [ "$installs" = yes ]; then step package-lists "reading the package lists" inside apt-get update; fi
        choose_kernel
        if [ "$installs" = yes ]; then
            progress=apt_progress step kernel-packages "installing the packages of kernel $release ($package_version)" install_kernel
        fi
        echo "$release $package_version" >"$choice.part"
        mv "$choice.part" "$choice"
    fi
    kernel_ready && return
    need_space "$cache" 3000 'the prepared kernel tree'
    step kernel-source "unpacking the kernel source" unpack_source
    progress=make_progress step kernel-tree "preparing the kernel tree of $release (about 250 files)" prepare_tree
}
