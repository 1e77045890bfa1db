#!/bin/sh
# Applies or takes back the rules in NAME.v4 and NAME.v6, such as domain-0/firewall:
#
#   sh iptables.sh apply NAME
#   sh iptables.sh undo NAME
#
# Keeps whatever filter rules are in force in two files, and brings them back:
#
#   sh iptables.sh save NAME
#   sh iptables.sh restore NAME
#
# Applying twice is the same as once. Each file is one commit, so there is no
# moment without rules. IPv4 and IPv6 are two commits: where the second fails,
# the first is taken back. Exit status: 0 done, 1 failed and nothing changed,
# 2 bad values or usage and nothing changed. A restore is the way out of a bad
# change: it does what it can, and its status is 1 if one of the two failed.
set -eu

here=$(dirname "$0")

# The chains that a file calls its own.
chains() { sed -n 's/^:\([^ ]*\) .*/\1/p' "$1"; }

# The commands that remove the jumps to those chains that are in force now.
removals() {
    for chain in $(chains "$2"); do
        "$1" -S | sed -n "s/^-A \(.* -[gj] $chain\)\$/-D \1/p"
    done
}

# What iptables-restore is to read: the file, with the old jumps removed in the
# same commit. Naming a chain empties it.
apply_input() {
    echo '*filter'
    grep '^:' "$2"
    removals "$1" "$2"
    sed -e '/^\*filter/d' -e '/^:/d' "$2"
}

undo_input() {
    echo '*filter'
    removals "$1" "$2"
    for chain in $(chains "$2"); do
        if "$1" -S "$chain" >/dev/null 2>&1; then
            printf '%s\n' "-F $chain" "-X $chain"
        fi
    done
    echo COMMIT
}

# The input is complete before the commit begins.
change() {
    input=$("$1_input" "$2" "$3") || return 1
    printf '%s\n' "$input" | "$2-restore" --noflush --wait
}

# Both are read before either file is written.
save() {
    v4=$(iptables-save -t filter) || return 1
    v6=$(ip6tables-save -t filter) || return 1
    printf '%s\n' "$v4" >"$1.v4" || return 1
    printf '%s\n' "$v6" >"$1.v6"
}

restore() {
    failed=0
    iptables-restore --wait <"$1.v4" || failed=1
    ip6tables-restore --wait <"$1.v6" || failed=1
    return "$failed"
}

case "$#${1-}" in
    2apply | 2undo | 2save | 2restore) action=$1 name=$2 ;;
    *)
        echo "usage: sh iptables.sh apply|undo|save|restore NAME, for the rules in NAME.v4 and NAME.v6" >&2
        exit 2
        ;;
esac
if [ "$action" = save ]; then
    for file in "$name.v4" "$name.v6"; do
        if [ -e "$file" ]; then
            echo "iptables.sh: $file is there already; remove it first, or choose another name" >&2
            exit 2
        fi
    done
    save "$name" && exit
    echo "iptables.sh: the rules cannot be saved as $name.v4 and $name.v6" >&2
    exit 1
fi
for file in "$name.v4" "$name.v6"; do
    if ! [ -r "$file" ]; then
        echo "iptables.sh: $file: no such file; NAME is expected without its ending" >&2
        exit 2
    fi
done
if [ "$action" = restore ]; then
    trap '' HUP INT TERM # not between the two
    restore "$name" && exit
    echo "iptables.sh: not all of $name.v4 and $name.v6 is in force again" >&2
    exit 1
fi
if [ "$action" = apply ]; then
    python3 "$here/check_values.py" "$name.v4" "$name.v6"
fi

for command in iptables ip6tables; do
    if ! "$command" -S >/dev/null; then
        echo "iptables.sh: $command cannot list the rules that are there; nothing is changed" >&2
        exit 1
    fi
done

before=$(iptables-save -c -t filter)
trap '' HUP INT TERM # not between the two commits
change "$action" iptables "$name.v4" || {
    echo "iptables.sh: $name.v4 was not accepted; nothing is changed" >&2
    exit 1
}
change "$action" ip6tables "$name.v6" || {
    printf '%s\n' "$before" | iptables-restore -c --wait
    echo "iptables.sh: $name.v6 was not accepted; IPv4 is taken back, nothing is changed" >&2
    exit 1
}
