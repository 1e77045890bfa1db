# SPDX-License-Identifier: MIT
"""A model of xend's relocation listener, for the lab: ``python -m tests.lab.xend CONFIG.sxp``.

xend left Xen in 4.5 and cannot be installed any more. This listens where the
real one would, admits whom it would, and answers on the wire as it does; it
never restores a guest. Modelled on measurements of the real xend of Xen 4.4
(xen.git 9e8672f1c3^); the comments name the file and line of each rule there.
The SSL listener is not modelled.
"""
from __future__ import annotations

import fcntl
import re
import socket
import struct
import sys
import threading

Sxp = str | list["Sxp"]
SIOCGIFADDR = 0x8915
ON = ("yes", "y", "1", "on", "true", "t")  # XendOptions.py:484-490
OFF = ("no", "n", "0", "off", "false", "f")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"',
           "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
ATOM_ENDS = "()[]{}<>;#"  # sxp.py:144-148


class Refused(ValueError):
    """xend would not start; the message says why."""


def read(text: str) -> list[Sxp]:
    """Read a configuration as xend's sxp.py does: every expression in the file.

    ``#`` starts a comment, ``;`` does not. Raises Refused on what it cannot parse.
    """
    stack: list[list[Sxp]] = [[]]
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == "#":
            position = (text.find("\n", position) + 1) or len(text)
        elif char == "(":
            stack.append([])
        elif char == ")":
            if len(stack) == 1:
                raise Refused("syntax error: )")
            done = stack.pop()
            stack[-1].append(done)
        elif char in "'\"":
            value, position = _string(text, position, char)
            stack[-1].append(value)
        elif char == "\x04":  # sxp.py: end of text
            break
        elif not char.isspace():
            start = position - 1
            while position < len(text) and text[position] not in ATOM_ENDS and not text[position].isspace():
                position += 1
            stack[-1].append(text[start:position])
    if len(stack) > 1:
        raise Refused("unexpected EOF")
    return stack[0]


def _string(text: str, position: int, quote: str) -> tuple[str, int]:
    """A quoted string; an unknown escape loses its letter and keeps the backslash (sxp.py:274-277)."""
    value = ""
    while position < len(text):
        char = text[position]
        position += 1
        if char == quote:
            return value, position
        if char == "\\":
            char = text[position:position + 1]
            position += 1
            value += ESCAPES.get(char, "\\")
        else:
            value += char
    raise Refused("unexpected EOF")


def option(config: list[Sxp], name: str, default: str = "") -> str:
    """The first value of the first setting of that name, else the default."""
    for entry in config:
        if isinstance(entry, list) and entry and entry[0] == name:
            if len(entry) == 1:
                return default
            if isinstance(entry[1], list):
                raise Refused(f"{name}: a value, not a list, is expected")
            return entry[1]
    return default


def switch(config: list[Sxp], name: str) -> bool:
    """A yes-or-no option; off unless set (XendOptions.py:484-490)."""
    value = option(config, name, "no").lower()
    if value not in ON + OFF:
        raise Refused(f"{name}: not a boolean: {value}")
    return value in ON


def address_of(name: str) -> str:
    """The IPv4 address that an interface name stands for, from 4.1.0 on (tcp.py:73-86)."""
    if re.fullmatch(r"[0-9.]*", name):
        return name
    if all(re.fullmatch(r"(0x)?[0-9a-f]*", word, re.IGNORECASE) for word in name.split(":")):
        return name  # taken for IPv6, which an IPv4 socket then refuses
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            request = struct.pack("256s", name.encode()[:15])
            return socket.inet_ntoa(fcntl.ioctl(sock, SIOCGIFADDR, request)[20:24])
        except OSError:
            return name  # looked up as a host name


def admitted(peer: str, patterns: list[re.Pattern[str]] | None) -> bool:
    """Whether hosts-allow lets a peer in: by its PTR name or by its address (connection.py:285-294)."""
    if patterns is None:
        return True
    name = socket.getfqdn(peer)
    return any(pattern.match(name) or pattern.match(peer) for pattern in patterns)


def converse(sock: socket.socket) -> None:
    """Answer one peer, a line at a time (relocate.py); ``receive`` is answered and no more."""
    with sock, sock.makefile("rb") as lines:
        for line in lines:
            operation = line.decode("latin-1").strip().strip("()")
            if operation == "quit":
                return
            if operation == "help":
                answer = "(ok (help quit receive sslreceive))"
            elif operation in ("receive", "sslreceive"):
                answer = f"(ready {operation})"
            else:
                answer = f"(err (type xen.xend.XendError.XendError) (value 'Invalid operation: {operation}'))"
            sock.sendall(answer.encode("latin-1"))


def listener(config: list[Sxp]) -> tuple[socket.socket, list[re.Pattern[str]] | None] | None:
    """The bound relocation socket and who is admitted; None where the server is off.

    Raises Refused or OSError where xend would not start.
    """
    allow = option(config, "xend-relocation-hosts-allow")
    try:
        # Split on single spaces: two in a row make an empty pattern, which admits everyone.
        patterns = [re.compile(pattern) for pattern in allow.split(" ")] if allow else None
    except re.error as error:
        raise Refused(f"xend-relocation-hosts-allow: {error}") from error
    if not switch(config, "xend-relocation-server"):
        return None
    address = option(config, "xend-relocation-address")
    port = option(config, "xend-relocation-port", "8002")
    if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", port) or not 0 <= int(port) <= 65535:
        raise Refused(f"xend-relocation-port: {port!r}")
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address_of(address), int(port)))
    sock.listen(5)
    return sock, patterns


def main(path: str) -> int:
    """Listen until killed; 1 where xend would refuse to start."""
    try:
        with open(path, encoding="latin-1") as file:
            listening = listener(read(file.read()))
    except (Refused, OSError) as error:
        print(f"xend: {path}: {error}", file=sys.stderr)
        return 1
    if listening is None:
        print("not listening", flush=True)
        threading.Event().wait()
        return 0
    sock, patterns = listening
    print("listening {}:{}".format(*sock.getsockname()), flush=True)
    while True:
        peer_sock, (peer, _) = sock.accept()
        if admitted(peer, patterns):
            threading.Thread(target=converse, args=(peer_sock,), daemon=True).start()
        else:
            peer_sock.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.lab.xend CONFIG.sxp")
    sys.exit(main(sys.argv[1]))
