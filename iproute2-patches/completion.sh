# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash source=/dev/null
# completion.sh FILE: completes each line of its input with the completion of that file, as bash does after a tab, and prints what
# is offered, a line each.
. /usr/share/bash-completion/bash_completion
. "$1"
while IFS= read -r line; do
    read -ra COMP_WORDS <<<"$line"
    [[ $line != *" " ]] || COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
    _ip ip "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]}"
done
