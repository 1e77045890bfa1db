# SPDX-License-Identifier: MIT
"""Runs on a node and starts commands for the lab, which talks to it by a virtio serial port.

So the lab needs none of the node's networks, and a node listens on nothing that a real one does not. A frame is a
number of a command, a letter, a length and as many bytes; what the letters mean stands in ``serial.py`` beside this
folder. Standard library only, since the node's own Python runs it.
"""
from __future__ import annotations

import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

HEADER = struct.Struct("!IcI")


class Command:
    """A command that runs for the lab."""

    def __init__(self, request: dict, send: Callable[[bytes, bytes], None]):
        self.send = send
        merged = subprocess.STDOUT if request["merge"] else subprocess.PIPE
        self.process = subprocess.Popen(request["argv"], env=request["env"], cwd=request["directory"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=merged)
        self.input: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        for work in ((self.write,), (self.read, self.process.stdout, b"o"), (self.read, self.process.stderr, b"e"),
                     (self.end,)):
            threading.Thread(target=work[0], args=work[1:], daemon=True).start()

    def write(self) -> None:
        """Pass on what comes for standard input, until an empty piece ends it."""
        with self.process.stdin:
            while piece := self.input.get():
                try:
                    self.process.stdin.write(piece)
                    self.process.stdin.flush()
                except OSError:
                    break

    def read(self, stream: IO[bytes] | None, letter: bytes) -> None:
        """Pass on what it prints; an empty frame ends it."""
        while stream and (piece := os.read(stream.fileno(), 65536)):
            self.send(letter, piece)
        self.send(letter, b"")

    def end(self) -> None:
        """Tell how it ended."""
        self.send(b"x", str(self.process.wait()).encode())


class Remote:
    """Serves one port for ever."""

    def __init__(self, path: str):
        self.port = os.open(path, os.O_RDWR)
        self.lock = threading.Lock()
        self.commands: dict[int, Command] = {}

    def read(self, length: int) -> bytes:
        """As many bytes; as long as nobody listens at the other end there are none."""
        data = b""
        while len(data) < length:
            piece = os.read(self.port, length - len(data))
            data += piece
            if not piece:
                time.sleep(0.02)
        return data

    def send(self, number: int, letter: bytes, data: bytes) -> None:
        """Send a frame."""
        with self.lock:
            frame = HEADER.pack(number, letter, len(data)) + data
            while frame:
                frame = frame[os.write(self.port, frame):]

    def serve(self) -> None:
        """Do what is asked."""
        while True:
            number, letter, length = HEADER.unpack(self.read(HEADER.size))
            data = self.read(length)
            command = self.commands.get(number)
            if letter == b"h":
                self.send(number, b"h", data)
            elif letter == b"r":
                try:
                    self.commands[number] = Command(
                        json.loads(data), lambda letter, data, number=number: self.send(number, letter, data))
                except OSError as error:
                    self.send(number, b"f", str(error).encode())
            elif command and letter == b"i":
                command.input.put(data)
            elif command and letter == b"k" and command.process.poll() is None:
                command.process.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    Remote(sys.argv[1]).serve()
