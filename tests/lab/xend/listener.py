# SPDX-License-Identifier: MIT
"""Where xend listens, and whom it lets in."""
from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator

from tests.lab.xend.conversation import Conversation
from tests.lab.xend.options import Options
from tests.lab.xend.python2 import Raised, compile_pattern, host_for_bind, is_hexadecimal, show
from tests.lab.xend.sxp import Sxp

SIOCGIFADDR = 0x8915
BACKLOG = 5  # connection.py:41
#: Seconds for which a port that is in use is tried again, and between two tries (tcp.py:91, 101).
BUSY = 30
PAUSE = 0.5
#: Where a key without a folder is looked for (XendOptions.py:247-248).
CONFIGURATION = b"/etc/xen/"

Patterns = list[re.Pattern[bytes]]


def listeners(options: Options) -> Iterator[Listener]:
    """Each listener as it is bound, in xend's order (relocate.py:142-172).

    What is wrong shows when it is looked at: so hosts-allow stops xend with the
    server off, a bad port only with it on, and a bad key when the plain
    listener is there already. Raises Raised.
    """
    options.flag("xend-unix-server")
    address = options.value("xend-relocation-address", b"")
    patterns = hosts_allow(options.text("xend-relocation-hosts-allow"))
    if options.flag("xend-relocation-server"):
        yield Listener(address, options.number("xend-relocation-port", 8002), patterns)
    if options.flag("xend-relocation-ssl-server"):
        port = options.number("xend-relocation-ssl-port", 8003)
        key, certificate = (key_file(options, f"xend-relocation-server-ssl-{name}-file") for name in ("key", "cert"))
        yield SSLListener(address, port, patterns, key, certificate)


def hosts_allow(value: bytes) -> Patterns | None:
    """The patterns of hosts-allow; None admits everybody.

    Split on every single space, so that two in a row leave an empty pattern
    between them, which matches every peer (relocate.py:150-154).
    """
    return [compile_pattern(pattern) for pattern in value.split(b" ")] if value else None


def admitted(peer: str, patterns: Patterns | None) -> bool:
    """Whether a peer is let in, by the name that reverse DNS gives it or by its address (connection.py:285-294).

    Nobody asks whether the name leads back to the address.
    """
    if patterns is None:
        return True
    texts = [socket.getfqdn(peer).encode("utf-8", "surrogateescape"), peer.encode()]
    return any(pattern.match(text) for pattern in patterns for text in texts)


def address_of(name: bytes) -> bytes:
    """What xend binds for a name: the IPv4 address of that interface, or the name as it is (tcp.py:50-82)."""
    if all(number.isdigit() for number in name.split(b".")):
        return name
    if all(not word or is_hexadecimal(word) for word in name.split(b":")):
        return name  # taken for IPv6, which be0 looks like, too
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            # The kernel's names have 15 characters, so what is behind them does not matter.
            answer = fcntl.ioctl(sock, SIOCGIFADDR, struct.pack("256s", name[:15]))
        except OSError:
            return name  # no such interface, or no address: it is looked up as a host
    return socket.inet_ntoa(answer[20:24]).encode()


def key_file(options: Options, name: str) -> bytes:
    """The path of a key or certificate (XendOptions.py:244-260)."""
    value = options.value(name, None)
    if not isinstance(value, bytes):
        raise Raised(f"{name}: not set, or a list")
    path = value if os.path.dirname(value) else CONFIGURATION + value
    if not os.path.exists(path):
        raise Raised(f"{name}: there is no {os.fsdecode(path)}")
    return path


class Listener:
    """A bound socket. A thread of its own accepts peers and asks for their names, one after the other."""

    def __init__(self, address: Sxp, port: int, patterns: Patterns | None):
        if not isinstance(address, bytes):
            raise Raised("xend-relocation-address: a list, where a text is expected")
        self.patterns = patterns
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._bind(address, port)

    def _bind(self, address: bytes, port: int) -> None:
        """Bind, and try again for a while where the port is in use (tcp.py:84-103)."""
        deadline = time.monotonic() + BUSY
        while True:
            try:
                self.sock.bind((host_for_bind(address_of(address)), port))
                return
            except (OverflowError, TypeError, ValueError) as error:
                raise Raised(f"address {show(address)}, port {port}: {error}") from error
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise Raised(f"address {show(address)}, port {port}: {error.strerror}") from error
            time.sleep(PAUSE)

    @property
    def where(self) -> str:
        """ADDRESS:PORT as the kernel has it."""
        return "{}:{}".format(*self.sock.getsockname())

    def start(self) -> None:
        """Listen, and accept in a thread. Raises Raised where another process has begun to listen meanwhile."""
        try:
            self.sock.listen(BACKLOG)
        except OSError as error:
            raise Raised(f"{self.where}: {error.strerror}") from error
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            sock, (peer, _) = self.sock.accept()
            # Here, and not in the peer's thread: while one name is looked up, everybody waits.
            if admitted(peer, self.patterns):
                threading.Thread(target=self._converse, args=(sock,), daemon=True).start()
            else:
                sock.close()

    def _converse(self, sock: socket.socket) -> None:
        Conversation(sock).run()


class SSLListener(Listener):
    """A listener whose peers speak TLS. They are asked for no certificate (tcp.py:173-182)."""

    def __init__(self, address: Sxp, port: int, patterns: Patterns | None, key: bytes, certificate: bytes):
        try:
            import ssl  # as late as the real one imports pyOpenSSL (tcp.py:174)
        except ImportError as error:
            raise Raised(f"no SSL: {error}") from error
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            self.context.load_cert_chain(certificate, key, password=lambda: b"")
        except ssl.SSLError as error:
            # pyOpenSSL loads the two one by one, and OpenSSL drops a key that does not fit: handshakes fail later.
            if error.reason != "KEY_VALUES_MISMATCH":
                raise Raised(f"{os.fsdecode(key)}, {os.fsdecode(certificate)}: {error}") from error
        except OSError as error:
            raise Raised(f"{os.fsdecode(key)}, {os.fsdecode(certificate)}: {error.strerror}") from error
        super().__init__(address, port, patterns)

    def _converse(self, sock: socket.socket) -> None:
        # In the peer's thread, as with pyOpenSSL, which shakes hands at the first read.
        try:
            wrapped = self.context.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        Conversation(wrapped).run()
