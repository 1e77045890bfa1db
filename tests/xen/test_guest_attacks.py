# SPDX-License-Identifier: MIT
"""A real guest, with a network card by xen-netback, attacks port 22 of its own node and of the other."""
from __future__ import annotations

import pytest

from tests.lab.cycle import fail, succeed
from tests.lab.filters import apply, apply_nft, undo, undo_nft
from tests.lab.hypervisor.guest import LinuxGuest
from tests.lab.namespaces import Lab


def attacker(lab: Lab) -> LinuxGuest:
    """The guest of the topology, started on its node."""
    described = lab.topology.hosts["guest-a"]
    interface, = described.interfaces.values()
    return LinuxGuest("attacker", lab[described.node], interface.bridge, interface.addresses, described.routes)


def attacks(guest: LinuxGuest, *addresses: str) -> dict:
    return {f"guest -> {address}": (lambda address=address: guest.probe(address, 22)) for address in addresses}


def in_turn(check, probes: dict) -> None:
    """The guest has one console, and so does one thing at a time."""
    for name, probe in probes.items():
        check({name: probe})


@pytest.mark.parametrize("packet_filter", ["nftables", "iptables-nft"])
def test_on_the_isolated_management_network(start_cluster, packet_filter):
    """By the outside address, and by the management address with the node for its router."""
    scenario = "isolated-management-network"
    lab = start_cluster(scenario, "4.20")
    guest, node = attacker(lab), lab["node-a"]
    assert guest.run("ip route add 192.168.1.0/24 via 203.0.113.11")[0] == 0
    own = attacks(guest, "203.0.113.11", "192.168.1.1", "2001:db8:2::11")
    in_turn(succeed, own)
    apply(node, packet_filter, f"{scenario}/ssh")
    in_turn(fail, own)
    succeed({"node-b": lambda: lab["node-b"].probe("192.168.1.1", 22)})
    undo(node, packet_filter, f"{scenario}/ssh")
    in_turn(succeed, own)


def test_on_the_subnet_behind_a_firewall(start_cluster, xen):
    """By address it is one of the subnet; only the rule by bridge port tells it from a node, whatever it claims."""
    scenario = "subnet-behind-a-firewall"
    lab = start_cluster(scenario, xen)
    guest, node = attacker(lab), lab["node-a"]
    others = attacks(guest, "192.168.1.1", "192.168.1.2", "2001:db8:1::2")
    for name in ("node-a", "node-b"):
        apply(lab[name], "nftables", f"{scenario}/ssh")
    in_turn(succeed, others)
    apply_nft(node, f"{scenario}/ssh-guests")
    in_turn(fail, others)
    # It becomes node-b, as far as an address goes.
    assert guest.run("ip address add 192.168.1.2/24 dev eth0")[0] == 0
    in_turn(fail, attacks(guest, "192.168.1.1"))
    assert guest.run("ip address del 192.168.1.2/24 dev eth0")[0] == 0
    succeed({"node-b": lambda: lab["node-b"].probe("192.168.1.1", 22)})
    undo_nft(node, f"{scenario}/ssh-guests")
    in_turn(succeed, others)
