# SPDX-License-Identifier: MIT
"""Runs on a host of the lab and does what the tests ask: probe, listen, hammer.

Requests and answers are lines of JSON on standard input and output. Standard
library only, since the host's own Python runs it. What takes long to import is
imported where it is needed: every host of every lab starts this program.
"""
from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

#: Seconds without an answer after which a probe says "filtered": long enough
#: for the kernel to have sent its SYN a second time (after 1 s).
PATIENCE = 2.0
#: Seconds that whoever has let somebody in may take to answer, which says nothing of the packet filter.
ANSWER = 10.0
#: What becomes of "administratively prohibited", as a firewall's REJECT may say.
REFUSED = (errno.EHOSTUNREACH, errno.EACCES)
#: The datagrams that have come in.
HEARD: list[bytes] = []


def connect(address: str, port: int, source: str = "", patience: float = PATIENCE,
            source_port: int = 0) -> socket.socket | str:
    """A connected socket, or ``refused`` or ``filtered``.

    Any other error is the lab's own (no route, no such source address) and is
    raised, so that a broken lab never looks like a closed port.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(patience)
    try:
        if source or source_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((source, source_port))
        if source_port:  # closed with a reset, so that the port can be used again at once (socket(7), SO_LINGER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.connect(socket.getaddrinfo(address, port, family, socket.SOCK_STREAM)[0][4])
        return sock
    except (ConnectionRefusedError, ConnectionResetError):
        verdict = "refused"
    except (TimeoutError, socket.timeout):
        verdict = "filtered"
    except OSError as error:
        sock.close()
        if error.errno in REFUSED:
            return "refused"
        raise
    sock.close()
    return verdict


def probe(address: str, port: int, source: str = "", source_port: int = 0) -> dict:
    """Whether a TCP connection comes about."""
    result = connect(address, port, source, source_port=source_port)
    if isinstance(result, str):
        return {"verdict": result}
    result.close()
    return {"verdict": "open"}


def refusal(address: str, port: int, udp: bool = False) -> dict:
    """How a TCP connection or a datagram is refused: by a ``reset``, or by an ICMP message: ``icmp TYPE/CODE``.

    The kernel keeps the ICMP message for a socket that asks for it (ip(7), IP_RECVERR); a reset leaves none.
    """
    version6 = ":" in address
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET6 if version6 else socket.AF_INET, kind) as sock:
        sock.setsockopt(*((socket.IPPROTO_IPV6, 25) if version6 else (socket.IPPROTO_IP, 11)), 1)
        sock.settimeout(PATIENCE)
        try:
            sock.connect((address, port))
            if udp:
                sock.send(b"echo")
                sock.recv(80)
            return {"refusal": "open"}
        except (TimeoutError, socket.timeout):
            return {"refusal": "none"}
        except OSError:
            pass
        # For poll(2) an error is there, though the queue be empty: with a patience Python would ask again and again.
        sock.setblocking(False)
        try:
            ancillary = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)[1]
        except OSError:
            return {"refusal": "reset"}
        # struct sock_extended_err: error number, origin, type, code
        _, _, type_, code = struct.unpack_from("=IBBB", ancillary[0][2])
        return {"refusal": f"icmp {type_}/{code}"}


def relocate(address: str, port: int, source: str = "", tls: bool = False) -> dict:
    """Whether xend would take a guest: it answers ``(ready receive)``, or closes without a byte."""
    said = converse(address, port, ["receive\n"], source, tls)
    if "verdict" in said:
        return said
    return {"verdict": "ready" if said["said"] == ["(ready receive)\n"] else "rejected"}


def converse(address: str, port: int, parts: list[str], source: str = "", tls: bool = False) -> dict:
    """Send the parts, one byte a character, and read after each: ``said`` has a line, or what came before the end.

    An empty part closes this side. Each answer is awaited for ``ANSWER`` seconds; where nothing comes, ``said``
    has None, and where the other side closes, an empty string.
    """
    import ssl
    result = connect(address, port, source)
    if isinstance(result, str):
        return {"verdict": result}
    result.settimeout(ANSWER)
    said = []
    with result as sock:
        try:
            if tls:
                # As xend's sender: any certificate will do, and none is shown.
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                sock = context.wrap_socket(sock)
            for part in parts:
                if part:
                    sock.sendall(part.encode("latin-1"))
                else:
                    sock.shutdown(socket.SHUT_WR)
                said.append(_line(sock))
        except (ConnectionError, ssl.SSLError):
            said.append("")
    return {"said": said}


def _line(sock: socket.socket) -> str | None:
    data = b""
    try:
        while not data.endswith(b"\n") and (more := sock.recv(1)):
            data += more
    except (TimeoutError, socket.timeout):
        return data.decode("latin-1") or None
    return data.decode("latin-1")


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


def datagram(address: str, port: int, source_port: int = 0, source: str = "") -> dict:
    """Send a datagram from an address and a port; ``open`` where it is echoed. ``address`` may end in %interface."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((source, source_port))
        sock.connect(socket.getaddrinfo(address, port, family, socket.SOCK_DGRAM)[0][4])

        def ask(patience: float) -> str:
            sock.settimeout(patience)
            try:
                sock.send(b"echo")
                return "open" if sock.recv(80) == b"echo" else "filtered"
            except (TimeoutError, socket.timeout):
                return "filtered"
            except OSError:
                return "refused"
        return {"verdict": twice(ask)}


def twice(ask: Callable[[float], str]) -> str:
    """What is answered within a probe's patience. It is asked twice, as the kernel does with a SYN: a host that
    forgets its neighbours may lose the first."""
    said = ask(PATIENCE / 2)
    return ask(PATIENCE / 2) if said == "filtered" else said


def ping(address: str, source: str = "", hops: int = 64) -> dict:
    """``open`` where an echo request is answered."""
    version6 = ":" in address
    family, protocol = ((socket.AF_INET6, socket.IPPROTO_ICMPV6) if version6 else
                        (socket.AF_INET, socket.IPPROTO_ICMP))
    with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        # type, code, checksum (for IPv4, the complement of the type; for IPv6 the kernel's), identifier, number
        request = struct.pack("!BBHHH", 128, 0, 0, 0, 0) if version6 else struct.pack("!BBHHH", 8, 0, 0xF7FF, 0, 0)
        if version6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
        if source:
            sock.bind((source, 0))
        sock.connect(socket.getaddrinfo(address, 0, family)[0][4])

        def ask(patience: float) -> str:
            sock.send(request)
            return _wait_for(sock, lambda packet: packet[0] == 129 if version6 else packet[20] == 0, patience)
        return {"verdict": twice(ask)}


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


def frame(interface: str, frame: str) -> dict:
    """Send an Ethernet frame as it is given, in hexadecimal."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        sock.send(bytes.fromhex(frame))
    return {}


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)


class Ears:
    """Hears every ICMP message and UDP datagram that the packet filter lets in, whatever becomes of it then."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.heard: set[bytes] = set()
        self.lock = threading.Lock()

    def hear(self) -> dict:
        """Begin to listen."""
        self.sockets = [socket.socket(family, socket.SOCK_RAW, protocol) for family, protocol in (
            (socket.AF_INET, socket.IPPROTO_ICMP), (socket.AF_INET, socket.IPPROTO_UDP),
            (socket.AF_INET6, socket.IPPROTO_ICMPV6), (socket.AF_INET6, socket.IPPROTO_UDP))]
        return {}

    def was_heard(self, mark: str) -> dict:
        """Whether a packet of :func:`packets` with this mark has come in until now."""
        with self.lock:
            for sock in self.sockets:
                try:
                    while True:
                        self.heard.add(sock.recv(4096, socket.MSG_DONTWAIT)[-8:])
                except BlockingIOError:
                    pass
            return {"heard": mark.encode() in self.heard}


def packets(interface: str, mac: str, packets: list[dict]) -> dict:
    """Send IP packets as Ethernet frames of our own, one after the other, with any source and hop limit.

    Each has a ``source`` and an ``address``, a ``kind`` such as ``udp 67 68``, ``icmp 13`` or ``icmpv6 134``, and a
    ``mark`` of 8 characters at its end; ``hops`` where they are not 64; ``good`` false for a wrong checksum; ``body``,
    as hexadecimal digits, what an ICMP packet has behind its checksum.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        ends = bytes.fromhex(mac.replace(":", "")) + sock.getsockname()[4]
        for packet in packets:
            sock.send(ends + _ip_packet(**packet))
    return {}


def _ip_packet(source: str, address: str, kind: str, mark: str, hops: int = 64, good: bool = True,
               body: str = "00" * 20) -> bytes:
    """An IP packet with the Ethernet type before it."""
    protocol, *numbers = kind.split()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    number = {"udp": socket.IPPROTO_UDP, "icmp": socket.IPPROTO_ICMP, "icmpv6": socket.IPPROTO_ICMPV6}[protocol]
    if protocol == "udp":
        before, behind = struct.pack("!HHH", *map(int, numbers), 16), mark.encode()
    else:
        before, behind = struct.pack("!BB", int(numbers[0]), 0), bytes.fromhex(body) + mark.encode()
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, address)
    length = len(before) + 2 + len(behind)
    pseudo = addresses + struct.pack("!HH", length, number) if protocol != "icmp" else b""
    checksum = _checksum(pseudo + before + bytes(2) + behind)
    payload = before + (checksum if good else bytes([checksum[0] ^ 1, checksum[1]])) + behind
    if family == socket.AF_INET6:
        return struct.pack("!HIHBB", 0x86DD, 6 << 28, length, number, hops) + addresses + payload
    header = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, 1, 0, hops, number)
    return struct.pack("!H", 0x0800) + header + _checksum(header + addresses) + addresses + payload


def router_advertisement(interface: str) -> dict:
    """Announce this host as a router to all hosts on a wire (RFC 4861)."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.sendto(bytes([134, 0, 0, 0, 64, 0, 7, 8]) + bytes(8),
                    (f"ff02::1%{interface}", 0, 0, socket.if_nametoindex(interface)))
    return {}


def odd_packet(address: str, port: int) -> dict:
    """Send a TCP packet with SYN and FIN set, which belongs to no connection; ``refused`` where it is answered."""
    family, skipped = (socket.AF_INET6, 0) if ":" in address else (socket.AF_INET, 20)
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock:
        sock.connect((address, 0))
        addresses = socket.inet_pton(family, sock.getsockname()[0]) + socket.inet_pton(family, address)
        header = struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 5 << 4, 0x03, 1024, 0, 0)
        pseudo = addresses + struct.pack("!HH", socket.IPPROTO_TCP, len(header))
        sock.send(header[:16] + _checksum(pseudo + header) + header[18:])
        said = _wait_for(sock, lambda packet: packet[skipped:skipped + 4] == struct.pack("!HH", port, 40000))
        return {"verdict": "refused" if said == "open" else "filtered"}


def _wait_for(sock: socket.socket, wanted, patience: float = PATIENCE) -> str:
    deadline = time.monotonic() + patience
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if wanted(sock.recv(4096)):
                return "open"
        except (TimeoutError, socket.timeout):
            break
        except OSError as error:
            if error.errno in REFUSED:
                return "refused"
            raise
    return "filtered"


class Hammer:
    """Connects to one port again and again, from several threads, since one waits where nothing answers; counts what
    came of it. Each pauses between two tries, for so many seconds."""

    def __init__(self, address: str, port: int, pause: float):
        self.pause = pause
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
            time.sleep(self.pause)

    def stop(self) -> dict:
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return {"tries": self.tries, "open": self.open}


class Held:
    """Connections that stay open, to see what becomes of them when rules change."""

    def __init__(self) -> None:
        self.socks: list[socket.socket] = []

    def hold(self, address: str, port: int) -> dict:
        """Open one more connection and see it answered once."""
        result = connect(address, port)
        if isinstance(result, str):
            return {"error": f"not open but {result}"}
        self.socks.append(result)
        return {"alive": self._echoes(result, 12)}

    def alive(self, size: int = 12) -> dict:
        """Whether the other end of each still echoes ``size`` bytes."""
        return {"alive": all([self._echoes(sock, size) for sock in self.socks])}

    @staticmethod
    def _echoes(sock: socket.socket, size: int) -> bool:
        sent = b"." * size
        received = b""
        try:
            sock.settimeout(PATIENCE)
            threading.Thread(target=sock.sendall, args=(sent,), daemon=True).start()
            while len(received) < size and (data := sock.recv(65536)):
                received += data
        except OSError:
            pass
        return received == sent


class Xend:
    """The model of xend, for many configurations one after the other."""

    CONFIGURATION = "/etc/xen/xend-config.sxp"

    def __init__(self) -> None:
        self.process = None

    def start(self, config: str | None, before: str = "") -> dict:
        """Start it with this configuration, one byte a character; None is no such file.

        ``before`` is Python to run in its process first. Returns the lines on
        standard output and on standard error until the start has ended, and
        the ``status`` where that was the end of the process, too.
        """
        import subprocess
        self.stop()
        if os.path.exists(self.CONFIGURATION):
            os.unlink(self.CONFIGURATION)
        if config is not None:
            with open(self.CONFIGURATION, "wb") as file:
                file.write(config.encode("latin-1"))
        how = ["-m", "tests.lab.xend"]
        if before:
            how = ["-c", before + "\nimport sys; from tests.lab.xend.__main__ import main; sys.exit(main(sys.argv[1]))"]
        self.process = subprocess.Popen(
            [os.environ["LAB_PYTHON"], *how, self.CONFIGURATION], cwd=os.environ["LAB_PROJECT"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        error = self.process.stderr.readline()
        output = self._said_until_now()
        # A start that fails goes on only where a socket is open, and that comes first.
        status = None if output or error == "xend: started\n" else self.process.wait()
        if status is not None:
            error += self.process.stderr.read()
        return {"output": output.splitlines(), "errors": error.splitlines(), "status": status}

    def _said_until_now(self) -> str:
        output = self.process.stdout.fileno()
        if not select.select([output], [], [], 0)[0]:
            return ""
        return os.read(output, 4096).decode()

    def stop(self) -> dict:
        """End it, where it runs; what it has said on standard error since its start."""
        if self.process is None:
            return {}
        self.process.kill()
        _, error = self.process.communicate()
        self.process = None
        return {"errors": error.splitlines()}


def write(path: str, text: str) -> dict:
    """Write a file of this host."""
    with open(path, "w") as file:
        file.write(text)
    return {}


def tcp_listeners() -> dict:
    """The IPv4 and IPv6 sockets that listen on this host, as ADDRESS:PORT."""
    found = []
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with open(f"/proc/net/{name}") as lines:
            for words in (line.split() for line in list(lines)[1:]):
                address, _, port = words[1].partition(":")
                # The kernel prints each 32-bit word of an address as a number of this machine's byte order.
                raw = b"".join(int(address[i:i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(address), 8))
                if words[3] == "0A":  # LISTEN
                    found.append(f"{socket.inet_ntop(family, raw)}:{int(port, 16)}")
    return {"sockets": sorted(found)}


class Agent:
    """Does what is asked, each request in a thread of its own."""

    def __init__(self) -> None:
        self.hammers: dict[tuple[str, int], Hammer] = {}
        self.held = Held()
        self.ears = Ears()
        self.xend = Xend()
        self.lock = threading.Lock()
        self.requests = {
            "probe": probe, "relocate": relocate, "converse": converse, "listen": listen,
            "start_xend": self.xend.start, "stop_xend": self.xend.stop, "tcp_listeners": tcp_listeners, "write": write,
            "listen_udp": listen_udp, "datagram": datagram,
            "datagrams_heard": datagrams_heard, "broadcast": broadcast,
            "ping": ping, "refusal": refusal, "syn_in_frame": syn_in_frame, "frame": frame,
            "router_advertisement": router_advertisement, "odd_packet": odd_packet,
            "hear": self.ears.hear, "was_heard": self.ears.was_heard, "packets": packets,
            "hold": self.held.hold, "alive": self.held.alive,
            "hammer": self.start_hammer, "hammered": self.stop_hammer,
        }

    def start_hammer(self, address: str, port: int, pause: float) -> dict:
        """Begin to connect again and again."""
        self.hammers[address, port] = Hammer(address, port, pause)
        return {}

    def stop_hammer(self, address: str, port: int) -> dict:
        """End it, and tell what came of it."""
        return self.hammers.pop((address, port)).stop()

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
