#!/bin/sh
# SPDX-License-Identifier: MIT
# The command `xend` on the hosts of the lab: starts and stops the model of it.
set -eu

config=/etc/xen/xend-config.sxp
pidfile=/run/xend.pid
log=/run/xend.log

stop() {
    if [ -e "$pidfile" ]; then
        kill "$(cat "$pidfile")" 2>/dev/null || true
        rm -f "$pidfile"
    fi
}

start() {
    rm -f "$log"
    cd "$LAB_PROJECT"
    "$LAB_PYTHON" -m tests.lab.xend "$config" >"$log" 2>&1 &
    echo $! >"$pidfile"
    # Its first line says that it listens, or why it does not.
    while ! [ -s "$log" ]; do
        kill -0 $! 2>/dev/null || break
        sleep 0.02
    done
    if ! grep -q listening "$log"; then
        cat "$log" >&2
        rm -f "$pidfile"
        return 1
    fi
}

case "${1-}" in
    start) start ;;
    stop) stop ;;
    restart) stop; start ;;
    *) echo "usage: xend start | stop | restart" >&2; exit 2 ;;
esac
