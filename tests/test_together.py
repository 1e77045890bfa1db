# SPDX-License-Identifier: MIT
"""Domain-0's firewall and a scenario's rules on one node: in any order, undone in any order."""
from __future__ import annotations

import pytest

from tests.lab.cycle import fail, succeed
from tests.lab.filters import apply, iptables_of, undo
from tests.lab.namespaces import Lab

DOMAIN_0 = "domain-0/firewall"
#: Each scenario: the node's outside address, who relocates to which address of it, and to which node-b has ssh.
SCENARIOS = {
    "isolated-management-network": ("203.0.113.11", [("node-b", "192.168.1.1"), ("node-b", "2001:db8:1::1")],
                                    ["192.168.1.1", "2001:db8:1::1"]),
    "subnet-behind-a-firewall": ("192.168.1.1", [("node-b", "192.168.1.1"), ("node-b", "2001:db8:1::1")],
                                 ["192.168.1.1", "2001:db8:1::1"]),
    "untrusted-subnet": ("203.0.113.11", [("node-a", "127.0.0.1")], ["203.0.113.11", "2001:db8:2::11"]),
}


class Together:
    """The probes for one scenario with all its sets of rules on node-a."""

    def __init__(self, lab: Lab, scenario: str):
        self.lab, self.node = lab, lab["node-a"]
        for port in (22, 8002, 5900):
            self.node.listen(port)
        address, relocating, nodes = SCENARIOS[scenario]
        self.relocation = {f"{name} -> {target} 8002": self.probe(name, target, 8002) for name, target in relocating}
        self.ssh = {"admin by ssh": self.probe("admin", address, 22)}
        self.ssh_of_nodes = {f"node-b -> {target} 22": self.probe("node-b", target, 22) for target in nodes}
        self.attack_on_relocation = {"outsider -> 8002": self.probe("outsider", address, 8002)}
        self.attack_on_ssh = {"outsider -> 22": self.probe("outsider", address, 22)}
        self.attack_on_the_rest = {"outsider -> 5900": self.probe("outsider", address, 5900)}
        self.attacks = self.attack_on_relocation | self.attack_on_ssh | self.attack_on_the_rest

    def probe(self, name: str, address: str, port: int):
        return lambda: self.lab[name].probe(address, port)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_together(make_lab, packet_filter, scenario):
    """In each order; since the rules are then as before, one lab serves for all."""
    lab = make_lab(scenario, iptables_of(packet_filter))
    both = Together(lab, scenario)
    before = both.node.rules()
    succeed(both.attacks | both.relocation | both.ssh | both.ssh_of_nodes)

    rules, ssh = f"{scenario}/firewall", f"{scenario}/ssh"
    for order in ((DOMAIN_0, rules, ssh), (ssh, rules, DOMAIN_0)):
        for undone in ((DOMAIN_0, rules, ssh), (ssh, rules, DOMAIN_0)):
            when = f"applied {', '.join(order)}, undone {', '.join(undone)}: "
            for name in order:
                apply(both.node, packet_filter, name)
            succeed(both.relocation | both.ssh | both.ssh_of_nodes, when)
            fail(both.attacks, when)

            undo(both.node, packet_filter, undone[0])
            if undone[0] == DOMAIN_0:
                succeed(both.relocation | both.ssh | both.ssh_of_nodes | both.attack_on_the_rest, when)
                fail(both.attack_on_relocation | both.attack_on_ssh, when)
                undo(both.node, packet_filter, rules)
                succeed(both.ssh | both.ssh_of_nodes | both.attack_on_relocation, when)
                fail(both.attack_on_ssh, when)
            else:
                succeed(both.relocation | both.ssh, when)
                fail(both.attacks | both.ssh_of_nodes, when)
                undo(both.node, packet_filter, rules)
                succeed(both.ssh, when)
                fail(both.attacks, when)
            undo(both.node, packet_filter, undone[-1])
            assert both.node.rules() == before, when
            succeed(both.attacks, when)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_files_of_a_node_survive_a_boot_together(make_lab, scenario):
    """Included by one /etc/nftables.conf, as the page has it, whatever names they have there."""
    lab = make_lab(scenario)
    both = Together(lab, scenario)
    files = [file for file in both.node.sh(f"ls domain-0/*.nft {scenario}/*.nft").stdout.split()
             if not file.endswith("border.nft")]
    assert len(files) >= 3
    for file in files:
        both.node.sh(f"mkdir -p /etc/nftables.d; cp {file} /etc/nftables.d/{file.replace('/', '-')}")
    both.node.sh("echo 'include \"/etc/nftables.d/*.nft\"' >> /etc/nftables.conf; nft -f /etc/nftables.conf")
    succeed(both.relocation | both.ssh | both.ssh_of_nodes)
    fail(both.attacks)


def test_without_the_scenario_nobody_relocates_past_domain_0s_firewall(make_lab, packet_filter):
    """The mark is not enough by itself: only a scenario's rules set it."""
    lab = make_lab("isolated-management-network", iptables_of(packet_filter))
    both = Together(lab, "isolated-management-network")
    apply(both.node, packet_filter, DOMAIN_0)
    fail(both.relocation)
