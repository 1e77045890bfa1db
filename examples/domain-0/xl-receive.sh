#!/bin/sh
# /usr/local/sbin/xl-receive: all that a login of the account xen-migration can do.
# It receives a guest from `xl migrate`, whatever else the other side asks for.
set -eu

# What `command -v xl` says on this node.
xl=/usr/sbin/xl

# What was asked for is compared word by word and as a whole, and never read as shell
# code. These are the forms that `xl migrate` of Xen 4.17 to 4.22 sends; what Remus and
# COLO send is not among them.
asked=${SSH_ORIGINAL_COMMAND-}
rest="$asked "
from=${SSH_CONNECTION-an unknown address}

# Takes the next word, if it is one of these.
take() {
    for word in "$@"; do
        case $rest in
            "$word "*)
                rest=${rest#"$word "}
                return 0
                ;;
        esac
    done
    return 1
}

refuse() {
    logger -t xl-receive -p auth.warning "refused a command from $from" || :
    echo 'xl-receive: this login receives a guest from xl migrate, and does nothing else' >&2
    exit 1
}

take xl || refuse
take -t || :
take -T || :
take -v -vv -vvv -vvvv || :
take migrate-receive || refuse
take -e || :
take -d || :
take -p || :
[ -z "$rest" ] || refuse

if ! [ -x "$xl" ]; then
    echo "xl-receive: $xl: no such program on this node" >&2
    exit 1
fi
logger -t xl-receive -p auth.info "receives a guest from $from" || :
# Only words of this file are in it, so it may be split at its spaces.
# shellcheck disable=SC2086
set -- $asked
shift
exec "$xl" "$@"
