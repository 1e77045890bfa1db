# SPDX-License-Identifier: MIT
"""How a reader applies and undoes an example, for each packet filter that the guide offers."""
from __future__ import annotations

import re

from tests.lab.namespaces import PROJECT, Host

#: nftables by its own command; iptables by either of its back ends.
FILTERS = ("nftables", "iptables-nft", "iptables-legacy")


def iptables_of(packet_filter: str) -> str:
    """What ``iptables`` is on a lab for this packet filter."""
    return "iptables-nft" if packet_filter == "nftables" else packet_filter


def apply(host: Host, packet_filter: str, name: str) -> None:
    """Check and apply the rules called ``name``, such as ``domain-0/firewall``."""
    if packet_filter == "nftables":
        apply_nft(host, name)
    else:
        host.run("sh", "iptables.sh", "apply", name)


def undo(host: Host, packet_filter: str, name: str) -> None:
    """Take the rules back."""
    if packet_filter == "nftables":
        undo_nft(host, name)
    else:
        host.run("sh", "iptables.sh", "undo", name)


def apply_nft(host: Host, name: str) -> None:
    """Check and apply an nftables file, also one that iptables has no words for."""
    host.run("python3", "check_values.py", f"{name}.nft")
    host.run("nft", "-f", f"{name}.nft")


def undo_nft(host: Host, name: str) -> None:
    """Delete the table of an nftables file."""
    text = (PROJECT / "examples" / f"{name}.nft").read_text(encoding="utf-8")
    family, table = re.search(r"^delete table (\S+) (\S+)$", text, re.MULTILINE).groups()
    host.run("nft", "delete", "table", family, table)


def accept_before(host: Host) -> None:
    """Rules of others that were there before, and let everything in."""
    host.sh("for command in iptables ip6tables; do for chain in INPUT FORWARD OUTPUT; do "
            "$command -A $chain -j ACCEPT; done; done")
