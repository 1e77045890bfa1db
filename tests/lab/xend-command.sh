#!/bin/sh
# SPDX-License-Identifier: MIT
# The command `xend` on the hosts of the lab: starts and stops the model of it.
set -eu

config=/etc/xen/xend-config.sxp
pidfile=/run/xend.pid
log=/run/xend.log
sockets=/run/xend.sockets

stop() {
    if [ -e "$pidfile" ]; then
        kill "$(cat "$pidfile")" 2>/dev/null || true
        rm -f "$pidfile"
    fi
}

# As the real one: a failed start is status 1, also where a process lives on that listens.
start() {
    rm -f "$log"
    cd "$LAB_PROJECT"
    "$LAB_PYTHON" -m tests.lab.xend "$config" >"$sockets" 2>"$log" &
    echo $! >"$pidfile"
    # Its first line says how the start ended.
    while ! [ -s "$log" ]; do
        kill -0 $! 2>/dev/null || break
        sleep 0.02
    done
    if ! grep -qx 'xend: started' "$log"; then
        cat "$log" >&2
        [ -s "$sockets" ] || rm -f "$pidfile"
        return 1
    fi
}

status() {
    [ -e "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null
}

case "${1-}" in
    start) start ;;
    stop) stop ;;
    restart) stop; start ;;
    status) status ;;
    *) echo "usage: xend start | stop | restart | status" >&2; exit 2 ;;
esac
