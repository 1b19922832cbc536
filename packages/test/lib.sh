# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the parts of `make test-deb` share. Sourced.

export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical
PATH=/usr/sbin:/usr/bin:/sbin:/bin

# check NAME COMMAND…: one step. The output of a command that fails is shown.
check() {
    local name=$1 output status=0 start=$SECONDS
    shift
    output=$("$@" 2>&1) || status=$?
    if [ "$status" = 0 ]; then
        echo "ok    $name ($((SECONDS - start)) s)"
    else
        echo "FAIL  $name ($((SECONDS - start)) s): $* (exit status $status)"
        printf '%s\n' "$output" | tail -n 40 | sed 's/^/      /'
        return 1
    fi
}

# Runs a command and keeps its output in the file `said`, in which `says` looks for a text.
said=/tmp/said
run() { "$@" >"$said" 2>&1 || { local status=$?; tail -n 40 "$said"; return "$status"; }; }
says() { grep -qF -- "$1" "$said" || { tail -n 40 "$said"; return 1; }; }
not() { ! "$@"; }

# The module that modprobe would load for a kernel.
module_of() { modinfo -k "$1" -n netkit_rs 2>/dev/null; }
comes_from() { [[ "$(module_of "$1")" == */updates/$2/netkit_rs.ko* ]] || { module_of "$1"; return 1; }; }

# dpkg and apt have nothing to complain about.
sane() {
    local audit
    audit=$(dpkg --audit)
    [ -z "$audit" ] && apt-get check && dpkg --configure -a
}

# Files that no package owns. What apt, dpkg and logs keep for themselves is left out.
unowned() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /netkit-rs -o -path /cache -o -path /srv -o \
        -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/tmp -o -path /var/lib/systemd/timers -o -path /root \) -prune -o -print |
        sort | comm -23 - <(cat /var/lib/dpkg/info/*.list | sed -E 's,^/(lib|bin|sbin|lib64)(/|$),/usr/\1\2,' | sort -u)
}
