# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # one set of variables, shared by these files
# Running one long step of the set-up: its output goes to a log, the user sees one line with the time that passes,
# and the log's tail when it fails. Sourced by scripts/setup.

# What may help when a step fails, for the message; set before a step that knows.
hint=''

interrupted() {
    if kill -- "-$1" 2>/dev/null; then wait "$1" 2>/dev/null || die "interrupted during: $2 (run it again to go on)"; fi
    die "interrupted after: $2 (run it again to go on)"
}

# step NAME "what it does" COMMAND…
step() {
    local name=$1 what=$2 log=$cache/log/$1.log start=$SECONDS pid status=0
    shift 2
    mkdir -p "$cache/log"
    # In a process group of its own, which an interrupted set-up takes along: nothing goes on writing behind the next run's
    # back. (If even that fails, it holds on to the lock.)
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    set +m
    trap 'interrupted "$pid" "$what"' INT TERM HUP
    printf 'netkit-rs: %s …' "$what" >&2
    [ -t 2 ] || echo >&2
    while kill -0 "$pid" 2>/dev/null; do
        if [ -t 2 ]; then printf '\rnetkit-rs: %s … %d s ' "$what" $((SECONDS - start)) >&2
        elif [ $(((SECONDS - start) % 30)) = 29 ]; then say "$what … $((SECONDS - start)) s"; fi
        sleep 1
    done
    wait "$pid" || status=$?
    trap - INT TERM HUP
    if [ "$status" != 0 ]; then
        [ -t 2 ] && echo >&2
        tail -n "${NETKIT_RS_LOG_LINES:-15}" "$log" | sed 's/^/    | /' >&2
        die "failed after $((SECONDS - start)) s: $what. The whole output is in log/$name.log of the cache folder.${hint:+ $hint}"
    fi
    [ -t 2 ] && printf '\r' >&2
    say "$what: done in $((SECONDS - start)) s"
}

# need_space FOLDER MEGABYTES "for what"
need_space() {
    local free
    free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$2" ] ||
        die "$3 needs $2 MB of free disk and the cache folder's has $free MB: free some, or point NETKIT_RS_CACHE at a larger disk"
}
