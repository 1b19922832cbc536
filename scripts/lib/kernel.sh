# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2034 # one set of variables, shared by these files
# The kernel: its packages, and the prepared tree. Debian's headers carry no Rust metadata, so the tree is made from the
# kernel's source with the headers' own .config and Module.symvers, by the same compilers, and belongs to exactly that build:
# its folder is named by the release and holds the kernel's GNU build ID. Sourced by scripts/setup.

kernel_image() { echo "$root/usr/lib/modules/$release/vmlinuz"; }
kernel_tree() { echo "$cache/$trees/$release"; }
kernel_source() { echo "$cache/$sources/$package_version"; }
kernel_headers() { echo "$build_root/usr/src/linux-headers-$release"; }

# Whole and made for this very kernel: the tree's last file names the build ID and the checksum of the image it was read from.
kernel_ready() {
    read_choice || return 1
    tree_fits "$(kernel_tree)" "$(kernel_image)" && return
    [ -r "$(kernel_tree)/kernel" ] && [ -r "$(kernel_image)" ] || return 1
    say "the prepared kernel tree belongs to another build of $release: making it again"
    return 1
}

# The releases on offer, oldest first: in the archive, or natively those whose headers are installed.
kernel_releases() {
    if [ "$installs" = no ]; then
        compgen -G "/usr/src/linux-headers-*-amd64" | sed 's|.*/linux-headers-||'
    else
        inside_build apt-cache pkgnames linux-headers- | sed -n 's/^linux-headers-//p'
    fi | grep -xE "$release_pattern" | sort -V
}

choose_kernel() {
    local offered series
    offered=$(kernel_releases)
    release=${wanted:-$(grep -xE '[0-9.]+\+deb[0-9.]+-amd64' <<<"$offered" | tail -n 1)}
    [ -n "$release" ] ||
        die "there is no kernel for amd64 on offer (linux-headers-…+deb13-amd64): see whether ${suite}-backports of the mirror has one"
    grep -Fqx "$release" <<<"$offered" ||
        die "kernel $release (NETKIT_RS_KERNEL) is not on offer; these are: $(tr '\n' ' ' <<<"$offered")"
    series=$(kernel_series)
    if [ "$installs" = no ]; then
        package_version=$(dpkg-query -W -f '${Version}' "linux-headers-$release")
        [ "$package_version" = "$(dpkg-query -W -f '${Version}' "linux-source-$series" 2>/dev/null)" ] ||
            die "linux-headers-$release is $package_version, and linux-source-$series of that version is not installed"
        [ -r "$(kernel_image)" ] || die "$(kernel_image) is missing: apt-get install linux-binary-$release"
    else
        package_version=$(inside_build apt-cache madison "linux-headers-$release" | awk 'NR == 1 { print $3 }')
    fi
}
# As in linux-source-7.3.
kernel_series() { sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"$release"; }

install_headers() { inside_build apt-get install -y --no-install-recommends "linux-headers-$release=$package_version"; }

check_kernel() {
    local lacks
    lacks=$(config_lacks "$(kernel_headers)/.config")
    [ -z "$lacks" ] || die "the kernel $release cannot take the module: $lacks"
}

# The compilers that the configuration names; then whether rustc is the one: the symbols of the kernel's crates depend on it.
install_compilers() {
    local config llvm built here
    config=$(kernel_headers)/.config
    llvm=$(kernel_llvm "$config")
    inside_build apt-get install -y --no-install-recommends "$(kernel_cc "$config" | sed 's/^x86_64-linux-gnu-//')" "clang-$llvm" "llvm-$llvm"
    built=$(config_value "$config" RUSTC_VERSION_TEXT)
    here=$(inside_build rustc --version)
    [ "$built" = "$here" ] || { echo "the kernel was built by $built, and Debian has $here now"; return 1; }
}

# The image and the modules go where the VM finds them. Those of another suite are unpacked there: they need nothing of it.
install_kernel() {
    local packages=("linux-binary-$release=$package_version" "linux-modules-$release=$package_version")
    if [ "$build_root" = "$root" ]; then
        inside apt-get install -y --no-install-recommends "${packages[@]}"
    else
        unpack_packages "$root" "${packages[@]}"
        inside depmod "$release"
    fi
    if [ "$native" != yes ]; then inside_build apt-get clean; fi
}

# unpack_packages FOLDER PACKAGE=VERSION…: downloads them, and unpacks them there without installing.
unpack_packages() {
    local to=$1 folder=$cache/log/download file
    shift
    rm -rf "$folder"
    mkdir -p "$folder" "$to"
    # apt fetches as its own user where it can.
    chmod 777 "$folder"
    # shellcheck disable=SC2016 # expanded inside
    inside_build bash -c 'cd "$1" && shift && exec apt-get download "$@"' download "$inside_cache/log/download" "$@"
    for file in "$folder"/*.deb; do "${private[@]}" dpkg-deb --extract "$file" "$to"; done
    rm -rf "$folder"
}

# What preparing a tree and building modules does not read: nine tenths of the source. `whole_source` unpacks that, too.
not_for_modules=('Documentation/*/*' 'drivers/*.[cS]' 'drivers/gpu/drm/amd/*.h' 'sound/*.[chS]' 'fs/*.[ch]' 'arch/[!x]*.[chS]' 'arch/[!x]*.dts' 'arch/[!x]*.dtsi'
    'arch/xtensa/*.[chS]' 'tools/testing/*' 'tools/perf/*' 'samples/*.[ch]' 'LICENSES/*')

# unpack_source TAR-OPTION…: linux-source of one series can be installed in one version only, so it is unpacked here.
unpack_source() {
    local source part tarball series
    series=$(kernel_series)
    source=$(kernel_source) part=$(kernel_source).part
    rm -rf "$part"
    mkdir -p "$part" "$source"
    tarball=/usr/src/linux-source-$series.tar.xz
    if [ "$installs" = yes ]; then
        unpack_packages "$part" "linux-source-$series=$package_version"
        tarball=$part$tarball
    fi
    tar -xJf "$tarball" -C "$source" --strip-components=1 "$@"
    rm -rf "$part"
    # The stamp, last.
    : >"$source/.unpacked${1:+-in-part}"
}

setup_source() {
    local source exclude=()
    source=$(kernel_source)
    if [ -e "$source/.unpacked" ] || [ -e "$source/.unpacked-in-part" ]; then return; fi
    exclude=(--anchored "${not_for_modules[@]/#/--exclude=linux-source-$(kernel_series)/}")
    progress=apt_progress step kernel-source "unpacking the kernel source $package_version" unpack_source "${exclude[@]}"
}

# For who reads the C source or builds from it: the checks, the kernel's own tests, a kernel of our own.
setup_whole_source() {
    local source
    source=$(kernel_source)
    [ -e "$source/.unpacked" ] && return
    need_space "$cache" 2500 'the whole kernel source'
    progress=apt_progress step kernel-source "unpacking the rest of the kernel source $package_version" unpack_source
}

# The folder with the tools of the package linux-kbuild-….
kernel_tools() { echo "$build_root/usr/lib/linux-kbuild-$(sed -E 's/-((cloud|rt)-)?amd64$//' <<<"$release")/tools"; }

# Makes what modules are built against, and no more: objtool and resolve_btfids are taken from Debian's package, and of the
# kernel's Rust crates only the metadata are made (scripts/lib/rustc-for-modules).
prepare_tree() {
    local tree headers source in_tree id made make cc
    tree=$(kernel_tree)
    headers=$(kernel_headers)
    source=$inside_cache/$sources/$package_version
    in_tree=$inside_cache/$trees/$release/build
    cc=$(kernel_cc "$headers/.config")
    rm -rf "$tree"
    mkdir -p "$tree/build"
    cp "$headers/.config" "$headers/Module.symvers" "$headers/vmlinux" "$tree/build/"
    copy_tools "$(kernel_tools)" "$tree/build"
    # Run so that make does not start a second make for the build folder, which would not know of -o.
    make=(make --no-print-directory -C "$in_tree" -f "$source/Makefile" "KBUILD_OUTPUT=$in_tree" "${made[@]}"
        "CC=$cc" "HOSTCC=${cc#x86_64-linux-gnu-}" "RUSTC=$inside_checkout/scripts/lib/rustc-for-modules" "KERNELRELEASE=$release")
    if ! inside_build "${make[@]}" "-j$(nproc)" prepare modules_prepare; then
        same_config "$headers/.config" "$tree/build/.config" || echo "the configuration came out different (above): perhaps the toolchain is not Debian's own"
        return 1
    fi
    if ! same_config "$headers/.config" "$tree/build/.config"; then
        echo "the toolchain is not the one Debian built this kernel with: its configuration came out different (above)"
        return 1
    fi
    # shellcheck disable=SC2016 # expanded inside
    id=$(inside bash -c '"$1/scripts/extract-vmlinux" "$2" >/tmp/vmlinux.$$ && readelf -n /tmp/vmlinux.$$; rm -f /tmp/vmlinux.$$' \
        build-id "$source" "/usr/lib/modules/$release/vmlinuz" | sed -n 's/^ *Build ID: //p')
    [ -n "$id" ] || { echo "no build ID found in $release's vmlinuz"; return 1; }
    stamp_tree "$tree" "$id" "$(kernel_image)"
}

setup_kernel() {
    if ! read_choice || ! [ -r "$(kernel_image)" ]; then
        if [ "$installs" = yes ]; then step package-lists "reading the package lists" inside_build apt-get update; fi
        choose_kernel
        if [ "$installs" = yes ]; then
            progress=apt_progress step kernel-headers "installing the headers of kernel $release ($package_version)" install_headers
        fi
        check_kernel
        if [ "$installs" = yes ]; then
            progress=apt_progress step compilers "installing the compilers that it was built with" install_compilers
            progress=apt_progress step kernel-packages "installing the packages of kernel $release" install_kernel
        fi
        echo "$release $package_version" >"$choice.part"
        mv "$choice.part" "$choice"
    fi
    kernel_ready && return
    need_space "$cache" 1500 'the prepared kernel tree'
    setup_source
    progress=make_progress step kernel-tree "preparing the kernel tree of $release (about 250 files)" prepare_tree
}
