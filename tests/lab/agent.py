# SPDX-License-Identifier: MIT
"""Runs on a host of the lab and does what the tests ask: probe, listen, hammer.

Requests and answers are lines of JSON on standard input and output. Standard
library only, since the host's own Python runs it.
"""
from __future__ import annotations

import errno
import json
import socket
import struct
import sys
import threading
import time

#: Seconds without an answer after which a probe says "filtered": long enough
#: for the kernel to have sent its SYN a second time (after 1 s).
PATIENCE = 2.0
#: The datagrams that have come in.
HEARD: list[bytes] = []


def connect(address: str, port: int, source: str = "", patience: float = PATIENCE) -> socket.socket | str:
    """A connected socket, or ``refused`` or ``filtered``.

    Any other error is the lab's own (no route, no such source address) and is
    raised, so that a broken lab never looks like a closed port.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(patience)
    try:
        if source:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((source, 0))
        sock.connect(socket.getaddrinfo(address, port, family, socket.SOCK_STREAM)[0][4])
        return sock
    except ConnectionRefusedError:
        verdict = "refused"
    except (TimeoutError, socket.timeout):
        verdict = "filtered"
    except OSError as error:
        sock.close()
        # "administratively prohibited", as a firewall's REJECT may say
        if error.errno in (errno.EHOSTUNREACH, errno.EACCES):
            return "refused"
        raise
    sock.close()
    return verdict


def probe(address: str, port: int, source: str = "") -> dict:
    """Whether a TCP connection comes about."""
    result = connect(address, port, source)
    if isinstance(result, str):
        return {"verdict": result}
    result.close()
    return {"verdict": "open"}


def relocate(address: str, port: int, source: str = "") -> dict:
    """Whether xend would take a guest: it answers ``(ready receive)``, or closes without a byte."""
    result = connect(address, port, source)
    if isinstance(result, str):
        return {"verdict": result}
    with result as sock:
        try:
            sock.sendall(b"receive\n")
            answer = sock.recv(80)
        except ConnectionResetError:
            answer = b""
        except (TimeoutError, socket.timeout):
            return {"verdict": "filtered"}
    return {"verdict": "ready" if answer.startswith(b"(ready receive)") else "rejected"}


def listen(address: str, port: int) -> dict:
    """Listen and echo, in threads of their own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.create_server((address, port), family=family, backlog=128,
                                  dualstack_ipv6=address == "::")
    threading.Thread(target=_serve, args=(server,), daemon=True).start()
    return {}


def _serve(server: socket.socket) -> None:
    while True:
        client, _ = server.accept()
        threading.Thread(target=_echo, args=(client,), daemon=True).start()


def _echo(client: socket.socket) -> None:
    with client:
        try:
            while data := client.recv(4096):
                client.sendall(data)
        except OSError:
            pass


def listen_udp(address: str, port: int) -> dict:
    """Echo datagrams, in a thread."""
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, port))
    threading.Thread(target=_echo_datagrams, args=(server,), daemon=True).start()
    return {}


def _echo_datagrams(server: socket.socket) -> None:
    while True:
        data, peer = server.recvfrom(4096)
        HEARD.append(data)
        try:
            server.sendto(data, peer)
        except OSError:
            pass  # to 0.0.0.0 there is no answer


def datagrams_heard() -> dict:
    """How many datagrams have come to the ports of :func:`listen_udp`."""
    return {"count": len(HEARD)}


def broadcast(port: int, source_port: int) -> dict:
    """Send a datagram to everybody on the wire, as a host that has no address yet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind(("0.0.0.0", source_port))
        sock.sendto(b"discover", ("255.255.255.255", port))
    return {}


def datagram(address: str, port: int, source_port: int = 0) -> dict:
    """Send a datagram from a port; ``open`` where it is echoed. ``address`` may end in %interface."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", source_port))
        sock.settimeout(PATIENCE)
        sock.connect(socket.getaddrinfo(address, port, family, socket.SOCK_DGRAM)[0][4])
        try:
            sock.send(b"echo")
            return {"verdict": "open" if sock.recv(80) == b"echo" else "filtered"}
        except (TimeoutError, socket.timeout):
            return {"verdict": "filtered"}
        except OSError:
            return {"verdict": "refused"}


def ping(address: str) -> dict:
    """``open`` where an echo request is answered."""
    version6 = ":" in address
    family, protocol = ((socket.AF_INET6, socket.IPPROTO_ICMPV6) if version6 else
                        (socket.AF_INET, socket.IPPROTO_ICMP))
    with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        # type, code, checksum (for IPv4, the complement of the type; for IPv6 the kernel's), identifier, number
        request = struct.pack("!BBHHH", 128, 0, 0, 0, 0) if version6 else struct.pack("!BBHHH", 8, 0, 0xF7FF, 0, 0)
        sock.connect((address, 0))
        sock.send(request)
        return {"verdict": _wait_for(sock, lambda packet: packet[0] == 129 if version6 else packet[20] == 0)}


def syn_in_frame(interface: str, mac: str, source: str, address: str, port: int, tags: list[int]) -> dict:
    """Send a SYN over IPv4 as an Ethernet frame of our own, behind VLAN tags with the number 0.

    ``tags`` are their types, outermost first, such as 0x8100 and 0x88A8.
    """
    addresses = socket.inet_aton(source) + socket.inet_aton(address)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, socket.IPPROTO_TCP, 0)
    tcp = struct.pack("!HHIIBBHH", 40001, port, 1, 0, 5 << 4, 0x02, 1024, 0)
    pseudo = addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, 20)
    packet = (ip[:10] + _checksum(ip + addresses) + addresses
              + tcp + _checksum(pseudo + tcp) + bytes(2))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        here = sock.getsockname()[4]
        frame = bytes.fromhex(mac.replace(":", "")) + here
        for tag in tags:
            frame += struct.pack("!HH", tag, 0)
        sock.send(frame + struct.pack("!H", 0x0800) + packet)
    return {}


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)


def mld_query(interface: str) -> dict:
    """Ask all hosts on a wire which multicast groups they listen to; ``open`` where one reports (RFC 3810)."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        index = socket.if_nametoindex(interface)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        router_alert = bytes([0, 0, 5, 2, 0, 0, 1, 0])
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, router_alert)
        all_mld_routers = socket.inet_pton(socket.AF_INET6, "ff02::16")
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, all_mld_routers + index.to_bytes(4, sys.byteorder))
        # type 130, version 2, to be answered within 10 ms; the kernel fills in the checksum
        sock.sendto(bytes([130, 0, 0, 0, 0, 10, 0, 0]) + bytes(16) + bytes([2, 125, 0, 0]),
                    (f"ff02::1%{interface}", 0, 0, index))
        return {"verdict": _wait_for(sock, lambda packet: packet[0] == 143)}


def router_advertisement(interface: str) -> dict:
    """Announce this host as a router to all hosts on a wire (RFC 4861)."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.sendto(bytes([134, 0, 0, 0, 64, 0, 7, 8]) + bytes(8),
                    (f"ff02::1%{interface}", 0, 0, socket.if_nametoindex(interface)))
    return {}


def odd_packet(address: str, port: int) -> dict:
    """Send a TCP packet with SYN and FIN set, which belongs to no connection; ``refused`` where it is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock:
        sock.connect((address, 0))
        source = socket.inet_aton(sock.getsockname()[0])
        header = struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 5 << 4, 0x03, 1024, 0, 0)
        pseudo = source + socket.inet_aton(address) + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(header))
        sock.send(header[:16] + _checksum(pseudo + header) + header[18:])
        said = _wait_for(sock, lambda packet: packet[20:24] == struct.pack("!HH", port, 40000))
        return {"verdict": "refused" if said == "open" else "filtered"}


def _wait_for(sock: socket.socket, wanted) -> str:
    deadline = time.monotonic() + PATIENCE
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if wanted(sock.recv(4096)):
                return "open"
        except (TimeoutError, socket.timeout):
            break
    return "filtered"


class Hammer:
    """Connects to one port without pause, from several threads, and counts what came of it."""

    def __init__(self, address: str, port: int):
        self.tries = self.open = 0
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(address, port), daemon=True) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def run(self, address: str, port: int) -> None:
        while not self.stopping.is_set():
            # A patience shorter than a probe's: a dropped try only makes room for the next.
            result = connect(address, port, patience=0.2)
            with self.lock:
                self.tries += 1
                self.open += not isinstance(result, str)
            if not isinstance(result, str):
                result.close()

    def stop(self) -> dict:
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return {"tries": self.tries, "open": self.open}


class Held:
    """A connection that stays open, to see what becomes of it when rules change."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None

    def hold(self, address: str, port: int) -> dict:
        """Open the connection and see it answered once."""
        result = connect(address, port)
        if isinstance(result, str):
            return {"error": f"not open but {result}"}
        self.sock = result
        return self.alive()

    def alive(self, size: int = 12) -> dict:
        """Whether the other end still echoes ``size`` bytes."""
        sent = b"." * size
        received = b""
        try:
            self.sock.settimeout(PATIENCE)
            threading.Thread(target=self.sock.sendall, args=(sent,), daemon=True).start()
            while len(received) < size and (data := self.sock.recv(65536)):
                received += data
        except OSError:
            pass
        return {"alive": received == sent}


class Agent:
    """Does what is asked, each request in a thread of its own."""

    def __init__(self) -> None:
        self.hammer: Hammer | None = None
        self.held = Held()
        self.lock = threading.Lock()
        self.requests = {
            "probe": probe, "relocate": relocate, "listen": listen,
            "listen_udp": listen_udp, "datagram": datagram,
            "datagrams_heard": datagrams_heard, "broadcast": broadcast,
            "ping": ping, "syn_in_frame": syn_in_frame,
            "mld_query": mld_query, "router_advertisement": router_advertisement, "odd_packet": odd_packet,
            "hold": self.held.hold, "alive": self.held.alive,
            "hammer": self.start_hammer, "hammered": lambda: self.hammer.stop(),
        }

    def start_hammer(self, address: str, port: int) -> dict:
        """Begin to connect without pause."""
        self.hammer = Hammer(address, port)
        return {}

    def answer(self, request: dict) -> None:
        """Do one request and print the answer with its number."""
        number, what = request.pop("id"), request.pop("do")
        try:
            said = self.requests[what](**request)
        except OSError as error:
            said = {"error": str(error)}
        with self.lock:
            print(json.dumps(said | {"id": number}), flush=True)


def main() -> None:
    """Serve requests until standard input ends."""
    agent = Agent()
    for line in sys.stdin:
        threading.Thread(target=agent.answer, args=(json.loads(line),), daemon=True).start()


if __name__ == "__main__":
    main()
