# SPDX-License-Identifier: MIT
"""``xl migrate`` between real nodes: a guest that counts on, or stays where it was."""
from __future__ import annotations

import pytest

from tests.lab.filters import apply
from tests.lab.hypervisor.guest import Guest
from tests.lab.namespaces import Host
from tests.xen import account

SCENARIO = "isolated-management-network"
MANAGEMENT = {"node-a": "192.168.1.1", "node-b": "192.168.1.2"}
OUTSIDE = {"node-a": "203.0.113.11", "node-b": "203.0.113.12"}


def runs_on(guest: Guest, here: Host, elsewhere: Host, before) -> None:
    """The guest is here alone, the same one, and has counted on from where it was."""
    after = guest.next_line(here)
    assert (after.name, after.identity) == (before.name, before.identity)
    assert before.count < after.count
    assert guest.listed(here)
    assert not guest.listed(elsewhere)


@pytest.mark.parametrize("packet_filter", ["nftables", "iptables-nft"])
def test_only_by_the_management_network(start_cluster, xen, packet_filter):
    """With the account and the rules of the guide, the guest moves by the management network, and by no other."""
    lab = start_cluster(SCENARIO, xen)
    source, target = lab["node-a"], lab["node-b"]
    account.set_up(source, target, "eth1")
    guest = Guest("h1")
    guest.create(source)
    before = guest.next_line(source)
    assert lab["outsider"].probe(OUTSIDE["node-b"], 22) == "open"

    apply(target, packet_filter, f"{SCENARIO}/ssh")
    assert lab["outsider"].probe(OUTSIDE["node-b"], 22) == "refused"
    failed = guest.migrate(source, OUTSIDE["node-b"], *account.THROUGH)
    assert failed.returncode != 0 and "Connection refused" in failed.stderr, failed
    runs_on(guest, source, target, before)

    # Dropped, not refused: it gives up in time, and the guest runs on all the same.
    target.run("nft", "add table inet t; add chain inet t c { type filter hook input priority -20; }; "
                      "add rule inet t c tcp dport 22 drop")
    failed = guest.migrate(source, MANAGEMENT["node-b"], *account.THROUGH)
    assert failed.returncode != 0 and "timed out" in failed.stderr, failed
    runs_on(guest, source, target, before)
    target.run("nft", "delete", "table", "inet", "t")

    done = guest.migrate(source, MANAGEMENT["node-b"], *account.THROUGH)
    assert done.returncode == 0, done.stdout + done.stderr
    runs_on(guest, target, source, before)


def test_pv_guests_do_not_migrate(start_cluster, xen):
    """Debian builds Xen without shadow paging, which a PV guest would need; it stays and runs on."""
    lab = start_cluster(SCENARIO, xen)
    source, target = lab["node-a"], lab["node-b"]
    guest = Guest("p1", "pv")
    guest.create(source)
    before = guest.next_line(source)
    failed = guest.migrate(source, MANAGEMENT["node-b"])
    assert failed.returncode != 0
    assert "logdirty" in failed.stderr, failed.stderr
    runs_on(guest, source, target, before)


def test_to_a_newer_xen_and_not_back(start_cluster):
    """4.17 sends to 4.20; the way back fails, and the guest runs on where it is."""
    lab = start_cluster(SCENARIO, {"node-a": "4.17", "node-b": "4.20"})
    older, newer = lab["node-a"], lab["node-b"]
    guest = Guest("h1")
    guest.create(older)
    before = guest.next_line(older)
    done = guest.migrate(older, MANAGEMENT["node-b"])
    assert done.returncode == 0, done.stdout + done.stderr
    runs_on(guest, newer, older, before)

    before = guest.next_line(newer)
    failed = guest.migrate(newer, MANAGEMENT["node-a"])
    assert failed.returncode != 0
    runs_on(guest, newer, older, before)
