# SPDX-License-Identifier: MIT
"""A name server for the lab: ``python3 resolver.py ADDRESS RECORDS.json``, on UDP port 53.

RECORDS.json maps an address to the names in its PTR records, and a name to its
addresses. Every other question is answered with "no such name", and one about
what is mapped to ``null`` never gets an answer. Standard library only; IPv4 only.
"""
from __future__ import annotations

import json
import socket
import struct
import sys

A, PTR = 1, 12
NO_SUCH_NAME = 3


def encode(name: str) -> bytes:
    """A name as it stands in a message (RFC 1035, 3.1)."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def question(query: bytes) -> tuple[list[str], int, bytes]:
    """The labels and the type that a query asks for, and the question as it stands there."""
    labels, position = [], 12
    while length := query[position]:
        labels.append(query[position + 1:position + 1 + length].decode())
        position += 1 + length
    kind, = struct.unpack_from("!H", query, position + 1)
    return labels, kind, query[12:position + 5]


def answer(query: bytes, records: dict[str, list[str] | None]) -> bytes | None:
    """The answer to a query; None is silence."""
    labels, kind, asked = question(query)
    name = ".".join(labels)
    if kind == PTR and labels[4:] == ["in-addr", "arpa"]:
        name = ".".join(reversed(labels[:4]))
    values = records.get(name, []) if kind in (A, PTR) else []
    if values is None:
        return None
    # an answer, with recursion, by a server that recurses
    flags = 0x8180 | (0 if name in records else NO_SUCH_NAME)
    datas = [encode(value) if kind == PTR else socket.inet_aton(value) for value in values]
    found = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(data)) + data for data in datas)
    return query[:2] + struct.pack("!5H", flags, 1, len(values), 0, 0) + asked + found


def main(address: str, path: str) -> None:
    """Answer until killed; one line says that it does."""
    with open(path) as file:
        records = json.load(file)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 53))
        print("ready", flush=True)
        while True:
            query, client = sock.recvfrom(512)
            if (said := answer(query, records)) is not None:
                sock.sendto(said, client)


if __name__ == "__main__":
    main(*sys.argv[1:])
