# SPDX-License-Identifier: MIT
"""Packets that no program sends by itself: any source, hop limit or type; did they get in?"""
from __future__ import annotations

import itertools
from collections.abc import Callable

from tests.lab.namespaces import Host
from tests.lab.wait import until

_numbers = itertools.count(1)


def arriving(sender: Host, interface: str, mac: str, receiver: Host, end: dict, **packet) -> Callable[[], str]:
    """A probe: ``open`` where the receiver's packet filter lets the packet in, else ``filtered``.

    The packet leaves by an interface of the sender, to the neighbour with that Ethernet address. ``packet`` and
    ``end`` are as the agent's ``packets`` takes them, without a mark; the ``end`` is let in in any case, and comes
    behind the packet on the same way: when it has arrived, the packet will not come any more.
    The receiver must ``hear``.
    """
    def probe() -> str:
        mark, last = (f"{next(_numbers):08}" for _ in range(2))
        sender.ask(do="packets", interface=interface, mac=mac, packets=[packet | {"mark": mark}, end | {"mark": last}])
        until(lambda: receiver.ask(do="was_heard", mark=last)["heard"], f"what is sent behind {packet} has arrived")
        return "open" if receiver.ask(do="was_heard", mark=mark)["heard"] else "filtered"
    return probe
