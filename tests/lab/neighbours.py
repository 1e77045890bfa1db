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


def advertisement(mac: str, address: str) -> dict[str, str | int]:
    """Tells everybody where an IPv6 address is now (RFC 4861, 4.4), from an address that is in nobody's way; as the
    agent's ``packets`` takes it. Its mark is an option that nobody looks at (of type 14, RFC 3971)."""
    body = "20000000" + ipaddress.IPv6Address(address).packed.hex() + "0201" + mac  # override what you know
    return dict(kind="icmpv6 136", source="fe80::99", address="ff02::1", hops=255, body=body, mark="\x0e\x01000000")


def believing(guest: Host, victim: Host, address: str, hardware: int = 1) -> Callable[[], str]:
    """A probe: ``open`` where a neighbour of the guest takes an address for the guest's, once it has claimed it."""
    mac = guest.mac("eth0").replace(":", "")
    if ":" in address:
        claim = dict(do="packets", mac="33:33:00:00:00:01", packets=[advertisement(mac, address)])
    else:
        claim = dict(do="frame", frame=arp(mac, address, victim.address(4), hardware).hex())
    own = dict(kind="udp 9 9", source=guest.address(4), address=victim.address(4))
    behind = arriving(guest, "eth0", victim.mac("xenbr0"), victim, own, **own)

    def probe() -> str:
        nobody = ":".join(NOBODY[i:i + 2] for i in range(0, 12, 2))
        victim.sh(f"ip neigh replace {address} lladdr {nobody} dev xenbr0 nud stale")
        guest.ask(**claim, interface="eth0")
        assert behind() == "open"  # so the frame has arrived, too
        known = victim.sh(f"ip neigh show {address} dev xenbr0; ip neigh del {address} dev xenbr0").stdout
        return "open" if guest.mac("eth0") in known else "filtered"
    return probe
