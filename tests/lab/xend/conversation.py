# SPDX-License-Identifier: MIT
"""What xend says to a peer that it has let in (relocate.py)."""
from __future__ import annotations

import os
import socket

from tests.lab.xend import sxp
from tests.lab.xend.python2 import Raised, builtin, text
from tests.lab.xend.sxp import Sxp

BUFFER = 16384  # connection.py:40
#: The same on both ports: nothing keeps sslreceive to the one with SSL.
OPERATIONS = [b"help", b"quit", b"receive", b"sslreceive"]


class Conversation:
    """One connection. Each value that comes in is an operation, each gets an answer."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.reader = sxp.Reader()
        self.closed = False

    def run(self) -> None:
        """Answer until either side closes; a peer that goes away is no error."""
        with self.sock:
            try:
                while not self.closed and (data := self.sock.recv(BUFFER)):
                    self._received(data)
            except OSError:
                pass

    def _received(self, data: bytes) -> None:
        """relocate.py:42-54: an error ends the turn, and leaves what is complete for the next one."""
        try:
            self.reader.feed(data)
            while self.reader.values:
                answer = self._do(self.reader.values.pop(0))
                if self.closed:
                    return
                self._say([b"ok"] if answer is None else [b"ok", answer])
            self.closed = self.reader.ended
        except Raised as error:
            self._say([b"err", [b"type", error.kind.encode()], [b"value", str(error).encode("latin-1")]])

    def _do(self, request: Sxp) -> Sxp | None:
        name = request if isinstance(request, bytes) else next(iter(request), None)
        if not isinstance(name, bytes):
            kind = "NoneType" if name is None else "list"
            raise Raised(f"'{kind}' object has no attribute 'replace'", builtin("AttributeError"))
        match name:
            case b"help":
                return OPERATIONS
            case b"quit":
                self.closed = True
            case b"receive":
                self._say([b"ready", name])
                # It reads below TLS, whatever the port (relocate.py:112-113).
                self._restore(os.read(self.sock.fileno(), 16))
            case b"sslreceive":
                self._say([b"ready", name])
                # It reads from a pipe, which a thread fills from the stream (relocate.py:124-131).
                self._restore(self.sock.recv(16))
            case _:
                raise Raised(f"Invalid operation: {text(name)}")
        return None

    def _restore(self, data: bytes) -> None:
        """Stands for the restore, which was never run. Where nothing came, it can only have failed.

        xend closes then, after an error whose words nobody has seen (relocate.py:114-116); here there are none.
        """
        self.closed = not data

    def _say(self, value: Sxp) -> None:
        self.sock.sendall(sxp.show(value) + b"\n")
