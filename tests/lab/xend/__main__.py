# SPDX-License-Identifier: MIT
"""Start the model, as ``xend start`` starts xend: ``python -m tests.lab.xend CONFIG.sxp``.

Each socket gets a line ``listening ADDRESS:PORT`` on standard output. One line
on standard error says how the start ended: ``started``, or why it failed. A
failed start is exit status 1, unless a socket is open already: then the model
goes on with it, as xend does, whose threads outlive the failure of the main one
(SrvDaemon.py:345-353, connection.py:90).
"""
from __future__ import annotations

import signal
import sys

from tests.lab.xend import options
from tests.lab.xend.listener import listeners
from tests.lab.xend.python2 import Raised


def main(path: str) -> int:
    """Listen until killed; 1 where xend would fail to start and be gone."""
    listening = False
    try:
        for listener in listeners(options.load(path)):
            listener.start()
            listening = True
            print(f"listening {listener.where}", flush=True)
        print("xend: started", file=sys.stderr, flush=True)
    except Raised as error:
        print(f"xend: {path}: {error}", file=sys.stderr, flush=True)
        if not listening:
            return 1
    while True:
        signal.pause()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.lab.xend CONFIG.sxp")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(sys.argv[1]))
