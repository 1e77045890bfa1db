# SPDX-License-Identifier: MIT
"""What can be seen of a live migration: on a network, and on the node that receives."""
from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import namespaces
from tests.lab.namespaces import Host, Lab, enter
from tests.lab.wait import until


class Capture:
    """All frames that pass one place, as long as it lasts; then their bytes."""

    def __init__(self, process: subprocess.Popen):
        self.frames = b""
        self._process = process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until(lambda: self.frames, "tcpdump listens", process)  # the head of its file

    def _read(self) -> None:
        with self._process.stdout as stream:
            while piece := stream.read(65536):
                self.frames += piece

    def stop(self) -> None:
        """End it; nothing that has passed until now is missing."""
        self._process.terminate()
        self._reader.join()
        self._process.wait()


def tcpdump(interface: str) -> list[str]:
    """The command that writes whole frames to its standard output, as they come."""
    return ["env", f"PATH={namespaces.PATH}", "tcpdump", "-Z", "root", "-B", "16384", "-s0", "-Uni", interface,
            "-w", "-"]


@contextmanager
def on_the_wire(lab: Lab, network: str) -> Iterator[Capture]:
    """Whatever passes a network of the topology: as the switch sees it."""
    capture = Capture(subprocess.Popen([*enter(lab.anchor, "--net"), *tcpdump(network)], bufsize=0,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    try:
        yield capture
    finally:
        capture.stop()


@contextmanager
def listening(node: Host) -> Iterator[set[str]]:
    """The sockets that are seen to listen on a node meanwhile, as ADDRESS:PORT."""
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.update(node.ask(do="tcp_listeners")["sockets"])
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
