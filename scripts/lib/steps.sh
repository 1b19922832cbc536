# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # one set of variables, shared by these files
# Running one long step of the set-up: its output goes to a log; the user sees one line with the time that passes and how
# far the step is, and the log's tail when the step fails. Sourced by scripts/setup.

# What may help when a step fails, for the message; set before a step that knows.
hint=''

interrupted() {
    if kill -- "-$1" 2>/dev/null; then wait "$1" 2>/dev/null || die "interrupted during: $2 (run it again to go on)"; fi
    die "interrupted after: $2 (run it again to go on)"
}

# How far a step is, read from its log. `progress=FUNCTION step …` names one of these functions for that step.
# apt and dpkg: what is downloaded, then how many packages are done. ("Need to get" may say "5 MB/367 MB": the part that is
# missing, and all of it.)
apt_progress() {
    awk 'function bytes(number, unit) {
            sub(/,/, "", number)
            return number * (unit ~ /^GB/ ? 1e9 : unit ~ /^MB/ ? 1e6 : unit ~ /^kB/ ? 1e3 : 1)
        }
        / newly installed, / { packages = $3; need = got = unpacked = ready = 0 }
        /^Need to get / { need = bytes($4, $5) }
        /^Get:[0-9]/ { size = $(NF - 1); sub(/^\[/, "", size); got += bytes(size, $NF) }
        /^Unpacking / { unpacked++ }
        /^Setting up / { ready++ }
        END {
            if (unpacked && unpacked >= packages) printf "%d of %d packages set up", ready, packages
            else if (unpacked) printf "%d of %d packages unpacked", unpacked, packages
            else if (need) printf "%d of %d MB downloaded", got / 1e6, need / 1e6
        }' "$1"
}
# make in the kernel tree has a line for each file it makes.
make_progress() { awk '/^  [A-Z]+ / { files++ } END { if (files) printf "%d files made", files }' "$1"; }
no_progress() { :; }

# Shows a line in the place of the last one, cut to the terminal's width: a line that wraps would stay.
in_place() {
    local width
    width=$(stty size <&2 2>/dev/null) && width=${width#* } || width=80
    if [ "$width" -lt 20 ]; then width=80; fi
    printf '\r%-*.*s' $((width - 1)) $((width - 1)) "$1" >&2
}

# step NAME "what it does" COMMAND…
step() {
    local name=$1 what=$2 log=$cache/log/$1.log start=$SECONDS pid status=0 far now said=0
    shift 2
    mkdir -p "$cache/log"
    # In a process group of its own, which an interrupted set-up takes along: nothing goes on writing behind the next run's
    # back. (If even that fails, it holds on to the lock.)
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    set +m
    trap 'interrupted "$pid" "$what"' INT TERM HUP
    if ! [ -t 2 ]; then say "$what …"; fi
    while kill -0 "$pid" 2>/dev/null; do
        now=$((SECONDS - start))
        if [ -t 2 ] || [ $((now - said)) -ge 30 ]; then
            far=$("${progress:-no_progress}" "$log")
            if [ -t 2 ]; then in_place "netkit-rs: $what … $now s${far:+, $far}"; else say "$what … $now s${far:+, $far}"; fi
            said=$now
        fi
        sleep 1
    done
    wait "$pid" || status=$?
    trap - INT TERM HUP
    if [ "$status" != 0 ]; then
        [ -t 2 ] && echo >&2
        tail -n "${NETKIT_RS_LOG_LINES:-15}" "$log" | sed 's/^/    | /' >&2
        die "failed after $((SECONDS - start)) s: $what. The whole output is in log/$name.log of the cache folder.${hint:+ $hint}"
    fi
    if [ -t 2 ]; then in_place '' && printf '\r' >&2; fi
    say "$what: done in $((SECONDS - start)) s"
}

# need_space FOLDER MEGABYTES "for what"
need_space() {
    local free
    free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$2" ] ||
        die "$3 needs $2 MB of free disk and the cache folder's has $free MB: free some, or point NETKIT_RS_CACHE at a larger disk"
}
