# SPDX-License-Identifier: MIT
"""What can be seen of a connection: on a network as its switch sees it, or by a host that is on it."""
from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import namespaces
from tests.lab.namespaces import Host, Lab, enter
from tests.lab.wait import until

#: Settings of a Linux that has its neighbours send it what is for others (IPv4), and passes it on: it answers for every
#: address of the network, at once, and tells nobody of the shorter way.
BETWEEN = """
    cd /proc/sys/net/ipv4
    echo 1 >ip_forward
    echo 0 >conf/all/send_redirects
    echo 0 >"conf/$1/send_redirects"
    echo 0 >"neigh/$1/proxy_delay"
    echo 1 >"conf/$1/proxy_arp_pvlan"
"""


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
        """End it."""
        self._process.terminate()
        self._reader.join()
        self._process.wait()


@contextmanager
def _capture(enter: list[str], interface: str) -> Iterator[Capture]:
    command = ["tcpdump", "-Z", "root", "-B", "16384", "-s0", "-Uni", interface, "-w", "-"]
    capture = Capture(subprocess.Popen([*enter, "env", f"PATH={namespaces.PATH}", *command], bufsize=0,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    try:
        yield capture
    finally:
        capture.stop()


def on_the_wire(lab: Lab, network: str):
    """Whatever passes a network of the topology meanwhile."""
    return _capture(enter(lab.anchor, "--net"), network)


def seen_by(host: Host, interface: str):
    """Whatever comes by an interface of a host that is a network namespace, or leaves by it, meanwhile."""
    return _capture(enter(host.pid, "--net"), interface)


def step_between(host: Host, interface: str) -> None:
    """Have a host answer for its neighbours' addresses."""
    host.run("sh", "-euc", BETWEEN, "sh", interface)
