# SPDX-License-Identifier: MIT
"""A real guest, with a network card by xen-netback, attacks its own node and the other: ssh, and libvirt's data."""
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


def attacks(guest: LinuxGuest, *addresses: str, port: int = 22) -> dict:
    return {f"guest -> {address} {port}": (lambda address=address: guest.probe(address, port)) for address in addresses}


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
    lab["node-b"].listen(49152)  # as libvirt does there, when it waits for a guest
    others = (attacks(guest, "192.168.1.1", "192.168.1.2", "2001:db8:1::2") | attacks(guest, "192.168.1.2", port=49152))
    for name in ("node-a", "node-b"):
        apply(lab[name], "nftables", f"{scenario}/ssh")
        apply(lab[name], "nftables", f"{scenario}/libvirt")
    in_turn(succeed, others)
    for rules in ("ssh-guests", "libvirt-guests"):
        apply_nft(node, f"{scenario}/{rules}")
    in_turn(fail, others)
    # It becomes node-b, as far as an address goes.
    assert guest.run("ip address add 192.168.1.2/24 dev eth0")[0] == 0
    in_turn(fail, attacks(guest, "192.168.1.1"))
    assert guest.run("ip address del 192.168.1.2/24 dev eth0")[0] == 0
    succeed({"node-b": lambda: lab["node-b"].probe("192.168.1.1", 22)})
    for rules in ("ssh-guests", "libvirt-guests"):
        undo_nft(node, f"{scenario}/{rules}")
    in_turn(succeed, others)
