# SPDX-License-Identifier: MIT
"""Claims that a host makes on its wire: "this address is mine", and who believes it."""
from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable

from tests.lab.namespaces import Host
from tests.lab.packets import arriving

#: An Ethernet address that nobody has.
NOBODY = "020000000099"


def arp(mac: str, address: str, asked: str, hardware: int = 1) -> bytes:
    """Asks everybody for an address, in the name of another one (RFC 826): the one who is asked notes the asker.

    ``hardware`` is Ethernet's number, or 6, which Linux takes as well (arp_process in net/ipv4/arp.c).
    """
    own, other = (ipaddress.IPv4Address(text).packed for text in (address, asked))
    return (b"\xff" * 6 + bytes.fromhex(mac) + struct.pack("!HHHBBH", 0x0806, hardware, 0x0800, 6, 4, 1)
            + bytes.fromhex(mac) + own + bytes(6) + other)


def advertisement(mac: str, address: str) -> bytes:
    """Tells everybody where an IPv6 address is now (RFC 4861, 4.4), from an address that is in nobody's way."""
    source, everybody, target = (ipaddress.IPv6Address(text).packed for text in ("fe80::99", "ff02::1", address))
    body = struct.pack("!I", 0x20000000) + target + b"\x02\x01" + bytes.fromhex(mac)  # override what you know
    total = sum(struct.unpack("!40H", source + everybody + struct.pack("!II", 4 + len(body), 58)
                              + struct.pack("!BBH", 136, 0, 0) + body + bytes(8)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return (bytes.fromhex("333300000001" + mac) + struct.pack("!HIHBB", 0x86DD, 6 << 28, 4 + len(body), 58, 255)
            + source + everybody + struct.pack("!BBH", 136, 0, total ^ 0xFFFF) + body)


def believing(guest: Host, victim: Host, address: str, hardware: int = 1) -> Callable[[], str]:
    """A probe: ``open`` where a neighbour of the guest takes an address for the guest's, once it has claimed it."""
    mac = guest.mac("eth0").replace(":", "")
    if ":" in address:
        frame = advertisement(mac, address)
    else:
        frame = arp(mac, address, victim.address(4), hardware)
    own = dict(kind="udp 9 9", source=guest.address(4), address=victim.address(4))
    behind = arriving(guest, "eth0", victim.mac("xenbr0"), victim, own, **own)

    def probe() -> str:
        nobody = ":".join(NOBODY[i:i + 2] for i in range(0, 12, 2))
        victim.sh(f"ip neigh replace {address} lladdr {nobody} dev xenbr0 nud stale")
        guest.ask(do="frame", interface="eth0", frame=frame.hex())
        assert behind() == "open"  # so the frame has arrived, too
        known = victim.sh(f"ip neigh show {address} dev xenbr0; ip neigh del {address} dev xenbr0").stdout
        return "open" if guest.mac("eth0") in known else "filtered"
    return probe
