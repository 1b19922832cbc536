# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # one set of variables, shared by these files
# A kernel of our own instead of the stock one, named by NETKIT_RS_VARIANT: built by clang (KASAN with Rust needs it) from the
# source that the prepared tree was made from, with the configuration scripts/kernels/{base,VARIANT}.config on top of
# x86_64_defconfig and kvm_guest.config. Its folder is named by what it was built from: package version, configuration,
# toolchain. Made when a variant is asked for, never by a plain set-up. Sourced by scripts/setup after kernel.sh.

# common.sh's variant_folder() says where the kernel lies; the file `kernel` there is its stamp.
variant_ready() { [ "$variant" = stock ] || variant_version; }

variant_make() {
    inside_build nice -n 5 make -C "$inside_cache/$sources/$package_version" "O=$(variant_folder "$inside_cache")/build" \
        "LLVM=-$(kernel_llvm "$cache/$trees/$release/build/.config")" "$@"
}

# Every line of the fragments must have become true: Kconfig drops silently what it cannot have.
check_variant_config() {
    local config=$1 line option bad=''
    shift
    while IFS= read -r line; do
        case $line in
            CONFIG_*) grep -Fqx -e "$line" "$config" || bad+="  $line"$'\n' ;;
            '# CONFIG_'*' is not set')
                option=${line#\# }
                if grep -q -e "^${option%% *}=" "$config"; then bad+="  $line"$'\n'; fi
                ;;
        esac
    done < <(cat "$@")
    [ -z "$bad" ] || { printf 'Kconfig did not take these lines:\n%s' "$bad"; return 1; }
}

configure_variant() {
    local folder fragments=("$checkout/scripts/kernels/base.config" "$checkout/scripts/kernels/$variant.config")
    folder=$(variant_folder "$cache")
    mkdir -p "$folder/build"
    variant_make x86_64_defconfig kvm_guest.config
    cat "${fragments[@]}" >>"$folder/build/.config"
    variant_make olddefconfig
    check_variant_config "$folder/build/.config" "${fragments[@]}"
}

build_variant() { variant_make "-j$(nproc)" all; }

# The modules go where the VM finds them, the image beside them as Debian's packages have it; then the objects can go: modules
# of others need none of them.
install_variant() {
    local folder id
    folder=$(variant_folder "$cache")
    rm -rf "$folder/modules"
    variant_make "INSTALL_MOD_PATH=$(variant_folder "$inside_cache")/modules" INSTALL_MOD_STRIP=1 modules_install
    version=$(cat "$folder/build/include/config/kernel.release")
    cp "$folder/build/arch/x86/boot/bzImage" "$folder/modules/lib/modules/$version/vmlinuz"
    find "$folder/build" \( -name '*.o' -o -name '*.a' -o -name '.tmp_vmlinux*' \) \
        -not -path '*/scripts/*' -not -path '*/tools/*' -not -path '*/rust/*' -delete
    id=$(inside readelf -n "$(variant_folder "$inside_cache")/build/vmlinux" | sed -n 's/^ *Build ID: //p')
    [ -n "$id" ] || { echo "the kernel has no build ID"; return 1; }
    # The stamp, last and in one move.
    printf '%s\n' "$id" "$version" >"$folder/kernel.part"
    mv "$folder/kernel.part" "$folder/kernel"
}

setup_variant() {
    variant_ready && return
    mkdir -p "$(variant_folder "$cache")"
    exec 8>"$(variant_folder "$cache")/lock"
    if ! flock --nonblock 8; then
        say "the kernel $variant is being built by another run: waiting for it"
        flock 8
        variant_ready && return
    fi
    # shellcheck disable=SC2034  # read by step
    hint='' # that of the root folder is about mirrors
    need_space "$cache" 12000 "the kernel $variant"
    step "kernel-$variant-config" "configuring the kernel $variant" configure_variant
    progress=make_progress step "kernel-$variant" "building the kernel $variant (about 45 minutes on two cores)" build_variant
    step "kernel-$variant-install" "installing the kernel $variant" install_variant
}
