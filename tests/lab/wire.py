# SPDX-License-Identifier: MIT
"""What can be seen of a connection: on a network as its switch sees it, or by a host that is on it."""
from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

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
#: Bytes before all frames in a file of tcpdump, before each, and of a frame before its packet.
FILE_HEAD, FRAME_HEAD, ETHERNET_HEAD = 24, 16, 14
#: Sends a text to everybody on a network, in a frame of a type that nobody knows (IEEE's, for experiments).
MARK = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind((sys.argv[1], 0))
    sock.send(bytes([255] * 6) + sock.getsockname()[4] + bytes([0x88, 0xb5]) + sys.argv[2].encode())
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

    def stop(self, lab: Lab, network: str) -> None:
        """End it, when all has come in that has passed until now."""
        mark = uuid.uuid4().hex
        subprocess.run([*enter(lab.anchor, "--net"), sys.executable, "-ISc", MARK, network, mark], check=True)
        until(lambda: mark.encode() in self.frames, "the mark at the end has come in", self._process)
        self._process.terminate()
        self._reader.join()
        self._process.wait()

    def sent_to(self, port: int) -> bytes:
        """What a TCP connection to that port has carried, over IPv4; there was one, and no frame of it is missing."""
        pieces: dict[int, bytes] = {}
        first, at = 0, FILE_HEAD
        while at < len(self.frames):
            length, = struct.unpack_from("<I", self.frames, at + 8)
            at += FRAME_HEAD
            packet = self.frames[at + ETHERNET_HEAD:at + length]
            at += length
            tcp = packet[(packet[0] & 15) * 4:] if packet[:1] == b"\x45" and packet[9] == socket.IPPROTO_TCP else b""
            if tcp and struct.unpack_from("!H", tcp, 2)[0] == port:
                number, flags = struct.unpack_from("!I5xB", tcp, 4)
                if flags & 0x02:  # SYN
                    first = number + 1
                pieces[(number - first) % 2 ** 32] = tcp[(tcp[12] >> 4) * 4:]
        whole = b""
        for begin in sorted(pieces):
            assert begin <= len(whole) or begin > 2 ** 31, f"{begin - len(whole)} bytes are missing"
            whole = whole[:begin] + pieces[begin] if pieces[begin] and begin < 2 ** 31 else whole
        return whole


@contextmanager
def _capture(lab: Lab, network: str, pid: int, interface: str) -> Iterator[Capture]:
    command = ["tcpdump", "-Z", "root", "-B", "65536", "-s", "66000", "--immediate-mode", "-Uni", interface, "-w", "-"]
    capture = Capture(subprocess.Popen([*enter(pid, "--net"), "env", f"PATH={namespaces.PATH}", *command], bufsize=0,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    try:
        yield capture
    finally:
        capture.stop(lab, network)


def on_the_wire(lab: Lab, network: str) -> AbstractContextManager[Capture]:
    """Whatever passes a network of the topology meanwhile."""
    return _capture(lab, network, lab.anchor, network)


def seen_by(host: Host, interface: str) -> AbstractContextManager[Capture]:
    """Whatever comes by an interface of a host that is a network namespace, or leaves by it, meanwhile."""
    return _capture(host.lab, host.described.interfaces[interface].network, host.pid, interface)


def step_between(host: Host, interface: str) -> None:
    """Have a host answer for its neighbours' addresses."""
    host.run("sh", "-euc", BETWEEN, "sh", interface)
