# SPDX-License-Identifier: MIT
"""Runs on a host of the lab and does what the tests ask: probe, listen, hammer.

Requests and answers are lines of JSON on standard input and output. Standard
library only, since the host's own Python runs it.
"""
from __future__ import annotations

import errno
import json
import socket
import sys
import threading

#: Seconds without an answer after which a probe says "filtered": long enough
#: for the kernel to have sent its SYN a second time (after 1 s).
PATIENCE = 2.0


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
        server.sendto(data, peer)


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
