# SPDX-License-Identifier: MIT
"""Commands on a node, by a serial port of its QEMU; the other end is ``inside/remote.py``.

Frames to the node: ``h`` hello, ``r`` run (JSON), ``i`` standard input (empty: its end), ``k`` kill. From the node:
``h`` hello, ``o`` standard output and ``e`` standard error (empty: its end), ``x`` the exit status, ``f`` it did not
start, and why.
"""
from __future__ import annotations

import itertools
import json
import os
import queue
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

HEADER = struct.Struct("!IcI")
#: The exit status of a command that could not be started.
NOT_STARTED = 127


class SerialError(RuntimeError):
    """The node does not answer."""


class Serial:
    """The serial port of a node."""

    def __init__(self, path: Path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._processes: dict[int, Process] = {}
        self._hello = threading.Event()
        threading.Thread(target=self._receive, daemon=True).start()

    def hello(self, seconds: float) -> bool:
        """Whether the node answers within that time."""
        self._hello.clear()
        self.send(0, b"h", b"")
        return self._hello.wait(seconds)

    def start(self, argv: Sequence[str], environment: Mapping[str, str], directory: str, stdin: int | None = None,
              stdout: int | None = None, stderr: int | None = None) -> Process:
        """Start a command. ``PIPE``, ``DEVNULL`` and ``STDOUT`` mean what they mean to ``subprocess.Popen``."""
        number = next(self._numbers)
        process = Process(argv, lambda letter, data: self.send(number, letter, data), stdin, stdout, stderr)
        self._processes[number] = process
        self.send(number, b"r", json.dumps({
            "argv": list(argv), "env": dict(environment), "directory": directory,
            "merge": stderr == subprocess.STDOUT}).encode())
        process.pass_on_input()
        return process

    def send(self, number: int, letter: bytes, data: bytes) -> None:
        """Send a frame. Raises SerialError where the node is gone."""
        try:
            with self._lock:
                self._socket.sendall(HEADER.pack(number, letter, len(data)) + data)
        except OSError as error:
            raise SerialError(f"the node is gone: {error}") from error

    def close(self) -> None:
        """Let go of the port; whatever ran on the node counts as lost."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end has done so
        self._socket.close()

    def _receive(self) -> None:
        try:
            with self._socket.makefile("rb") as stream:
                while header := stream.read(HEADER.size):
                    number, letter, length = HEADER.unpack(header)
                    data = stream.read(length)
                    if letter == b"h":
                        self._hello.set()
                    elif number in self._processes:
                        self._processes[number].receive(letter, data)
        except (OSError, ValueError, struct.error):
            pass
        for process in self._processes.values():
            process.lost()


class Process:
    """A command on a node, to be used as a ``subprocess.Popen`` with text streams."""

    def __init__(self, argv: Sequence[str], send: Callable[[bytes, bytes], None], stdin: int | None,
                 stdout: int | None, stderr: int | None):
        self.args = argv
        self.returncode: int | None = None
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        self._send = send
        self._ended = threading.Event()
        self._input: IO[bytes] | None = None
        self._outputs: dict[bytes, queue.SimpleQueue[bytes]] = {}
        if stdin == subprocess.PIPE:
            reading, writing = os.pipe()
            self._input, self.stdin = open(reading, "rb", buffering=0), open(writing, "w", encoding="utf-8")
        if stdout == subprocess.PIPE:
            self.stdout = self._output(b"o")
        if stderr == subprocess.PIPE:
            self.stderr = self._output(b"e")

    def _output(self, letter: bytes) -> IO[str]:
        """A stream that has what comes in by frames with that letter; however slowly it is read, nobody waits."""
        reading, writing = os.pipe()
        pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._outputs[letter] = pieces

        def pump() -> None:
            with open(writing, "wb", buffering=0) as stream:
                while piece := pieces.get():
                    try:
                        while piece:
                            piece = piece[stream.write(piece):]
                    except OSError:
                        break
        threading.Thread(target=pump, daemon=True).start()
        return open(reading, encoding="utf-8", errors="replace")

    def pass_on_input(self) -> None:
        """From now on, send what is written to ``stdin``."""
        if self._input is None:
            self._send(b"i", b"")
            return

        def pump() -> None:
            with self._input as stream:
                while piece := stream.read(65536):
                    self._send(b"i", piece)
                self._send(b"i", b"")
        threading.Thread(target=pump, daemon=True).start()

    def receive(self, letter: bytes, data: bytes) -> None:
        """Take a frame."""
        if letter == b"x":
            self.returncode = int(data)
            self._ended.set()
        elif letter == b"f":
            # As the shell and env do it.
            self.returncode = NOT_STARTED
            said = self._outputs.get(b"e") or self._outputs.get(b"o")
            if said:
                said.put(data + b"\n")
            self.lost()
        elif letter in self._outputs:
            self._outputs[letter].put(data)

    def lost(self) -> None:
        """There will be no more frames."""
        for pieces in self._outputs.values():
            pieces.put(b"")
        self._ended.set()

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended.

        Raises TimeoutExpired, and SerialError where the node is gone.
        """
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout)
        if self.returncode is None:
            raise SerialError("the node is gone")
        return self.returncode

    def kill(self) -> None:
        """End it."""
        if self.returncode is None:
            self._send(b"k", b"")

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str | None, str | None]:
        """Give it input, and wait for its end and for all that it prints. Raises TimeoutExpired, as :meth:`wait`."""
        said: dict[str, str] = {}

        def read(name: str, stream: IO[str]) -> None:
            with stream:
                said[name] = stream.read()
        readers = [threading.Thread(target=read, args=named, daemon=True)
                   for named in (("stdout", self.stdout), ("stderr", self.stderr)) if named[1]]
        for reader in readers:
            reader.start()
        if self.stdin:
            self.stdin.write(input or "")
            self.stdin.close()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout)
        return said.get("stdout"), said.get("stderr")
