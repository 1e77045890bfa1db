#!/bin/sh
# A way back for whoever changes a firewall from afar:
#
#   sh undo-in.sh SECONDS COMMAND [ARGUMENT...]   runs it then, even if this login is cut (*)
#   sh undo-in.sh cancel                          unless you say that you are still there
#
# (*) Not where logind.conf has KillUserProcesses=yes and the login is not root's, but
#     sudo's: there use systemd-run --on-active=120 COMMAND, and stop its timer in time.
set -eu

pidfile=/run/undo-in.pid
log=/run/undo-in.log # what COMMAND has to say

case "${1-}" in
    cancel)
        if ! [ -e "$pidfile" ]; then
            echo "undo-in.sh: nothing is waiting: it has been undone already, or was never to be" >&2
            exit 1
        fi
        kill "$(cat "$pidfile")" 2>/dev/null || {
            rm -f "$pidfile"
            echo "undo-in.sh: too late, it has been undone" >&2
            exit 1
        }
        rm -f "$pidfile"
        echo "cancelled: the new rules stay"
        ;;
    *[!0-9]* | '')
        echo "usage: sh undo-in.sh SECONDS COMMAND [ARGUMENT...] | sh undo-in.sh cancel" >&2
        exit 2
        ;;
    *)
        seconds=$1
        shift
        if [ $# -eq 0 ]; then
            echo "undo-in.sh: a command is expected after $seconds" >&2
            exit 2
        fi
        if ! command -v "$1" >/dev/null; then
            echo "undo-in.sh: $1: no such command" >&2
            exit 2
        fi
        if [ -e "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null; then
            echo "undo-in.sh: one is waiting already; cancel it first" >&2
            exit 1
        fi
        # In a session of its own, so that it outlives the login. A cancel ends this
        # shell; its sleep goes on, and nothing comes of it.
        # shellcheck disable=SC2016 # that shell is to expand it
        setsid sh -c 'sleep "$1"; rm -f "$2"; shift 2; exec "$@"' \
            undo-in.sh "$seconds" "$pidfile" "$@" </dev/null >"$log" 2>&1 &
        echo $! >"$pidfile"
        echo "in $seconds s: $*"
        echo "to keep the new rules: sh undo-in.sh cancel"
        ;;
esac
