# SPDX-License-Identifier: MIT
"""Runs on a host of the lab: connects from many addresses at once, or takes such connections; JSON lines, both.

What is dropped gives no answer, and no time is waited for one. All packets of both hosts are sent, forwarded and
received by one processor, which takes them in their order: a frame that is sent behind them, and is sent back by the
other side's program, comes back when all is decided. It goes there and back twice, the second time behind the answers.
"""
from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import socket
import struct
import sys

#: The Ethernet type of those frames: for experiments, of no protocol that a rule asks for.
FRAME = 0x88B5
#: Seconds after which a frame counts as lost.
HUNG = 60
#: Connections that are under way at once: their packets have to fit into the queue of a processor, which takes 1000.
BATCH = 200


def mac(interface: str) -> bytes:
    """The Ethernet address of an interface of this host."""
    with socket.socket() as sock:
        return fcntl.ioctl(sock, 0x8927, struct.pack("256s", interface.encode()))[18:24]  # SIOCGIFHWADDR


def take(ports: list[int]) -> None:
    """Listen on ports of every address, end each connection that comes, and send the frames back."""
    poll = select.epoll()
    servers = {}
    for port in ports:
        server = socket.create_server(("::", port), family=socket.AF_INET6, backlog=4096, dualstack_ipv6=True)
        server.setblocking(False)
        servers[server.fileno()] = server
        poll.register(server, select.EPOLLIN)
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(FRAME))
    poll.register(frames, select.EPOLLIN)
    print(json.dumps("ready"), flush=True)
    while True:
        for number, _ in poll.poll():
            if number == frames.fileno():
                data, (name, _, kind, _, _) = frames.recvfrom(2048)
                if kind == socket.PACKET_HOST:
                    frames.sendto(data[6:12] + mac(name) + data[12:], (name, 0))
                continue
            try:
                while True:
                    servers[number].accept()[0].close()
            except BlockingIOError:
                pass


class Connecter:
    """Connects, and tells for each try a letter: o is open, r refused, f filtered."""

    def __init__(self, interfaces: dict[str, str]) -> None:
        self.frames = {}
        for name, other in interfaces.items():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(FRAME))
            sock.bind((name, FRAME))
            sock.settimeout(HUNG)
            self.frames[sock] = bytes.fromhex(other.replace(":", "")) + mac(name) + struct.pack("!H", FRAME)

    def connect(self, tries: list[tuple[str, int, str, int]]) -> str:
        """From (source, source port or 0) to (address, port), each."""
        return "".join(self.batch(tries[at:at + BATCH]) for at in range(0, len(tries), BATCH))

    def batch(self, tries: list[tuple[str, int, str, int]]) -> str:
        socks = [self.begin(*each) for each in tries]
        for number in (1, 2):
            for sock, head in self.frames.items():
                sock.send(head + struct.pack("!Q", number).ljust(46, b"."))
                while sock.recv(2048)[14:22] != struct.pack("!Q", number):
                    pass
        return "".join(map(self.end, socks))

    @staticmethod
    def begin(source: str, source_port: int, address: str, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.bind((source, source_port))
        said = sock.connect_ex((address, port))
        assert said in (0, errno.EINPROGRESS), f"{source} to {address}: {os.strerror(said)}"
        return sock

    @staticmethod
    def end(sock: socket.socket) -> str:
        with sock:
            try:
                sock.getpeername()
                return "o"
            except OSError:
                # A reset comes to a connection that was open: rules let in what begins one, and refuse what follows.
                said = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                return "o" if said == errno.ECONNRESET else "r" if said else "f"


def main(processor: str, argument: str) -> None:
    """Take connections to a list of ports, or connect, by interfaces to Ethernet addresses; until killed."""
    os.sched_setaffinity(0, {int(processor)})
    given = json.loads(argument)
    if isinstance(given, list):
        take(given)
    connecter = Connecter(given)
    for line in sys.stdin:
        print(json.dumps(connecter.connect(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
