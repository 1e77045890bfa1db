# SPDX-License-Identifier: MIT
"""A node that anybody may connect to: one outsider has every address there is, on each of two networks."""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.lab import topology
from tests.lab.namespaces import Host, Lab

TOPOLOGY = """
title = "many sources"

[networks.outside]
title = "outside"
prefixes = ["203.0.113.0/24", "2001:db8:2::/64"]
[networks.management]
title = "management network"
prefixes = ["192.168.1.0/24", "2001:db8:1::/64"]

[hosts.node-a]
role = "node"
routes = ["default via 203.0.113.66", "default via 2001:db8:2::66"]
[hosts.node-a.interfaces.eth0]
network = "outside"
addresses = ["203.0.113.11/24", "2001:db8:2::11/64"]
[hosts.node-a.interfaces.eth1]
network = "management"
addresses = ["192.168.1.1/24", "2001:db8:1::1/64"]

[hosts.outsider]
role = "outsider"
[hosts.outsider.interfaces.eth0]
network = "outside"
addresses = ["203.0.113.66/24", "2001:db8:2::66/64"]
[hosts.outsider.interfaces.eth1]
network = "management"
addresses = ["192.168.1.66/24", "2001:db8:1::66/64"]
"""
#: The addresses of the node, by the interface that packets to them come in by.
ENTRANCES = {("eth0", 4): "203.0.113.11", ("eth1", 4): "192.168.1.1",
             ("eth0", 6): "2001:db8:2::11", ("eth1", 6): "2001:db8:1::1"}
PORTS = [22, 80, 8002]
#: The outsider takes every address but the node's for its own.
OUTSIDER = """
for version in -4 -6; do
  ip $version rule add pref 1 lookup 50
  ip $version rule del pref 0
  ip $version rule add pref 2 lookup local
done
for address in 203.0.113.11:eth0 192.168.1.1:eth1; do
  ip route add ${address%:*} dev ${address#*:} table 50
done
ip -6 route add 2001:db8:2::11 dev eth0 table 50
ip -6 route add 2001:db8:1::1 dev eth1 table 50
ip route add local 0.0.0.0/0 dev lo table local
ip -6 route add local ::/0 dev lo table local
for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $file; done
echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind
"""
#: It has no neighbours, whom it would have to ask for first, but a way to everybody by the outsider.
NODE = """
for number in 1:eth1 2:eth0; do
  ip -6 neigh replace 2001:db8:${number%:*}::66 lladdr $(eval echo \\$${number#*:}) dev ${number#*:}
  ip -6 route add 2001:db8:${number%:*}::/64 via 2001:db8:${number%:*}::66 dev ${number#*:} metric 1
done
"""


class ManySources(Lab):
    """That network; use it as a context manager."""

    def __init__(self, iptables: str = "iptables-nft") -> None:
        super().__init__(topology.parse(TOPOLOGY, "many-sources"), iptables)

    def __enter__(self) -> ManySources:
        super().__enter__()
        node, outsider = self["node-a"], self["outsider"]
        outsider.sh(OUTSIDER)
        macs = {(host.name, name): host.mac(name) for host in (node, outsider) for name in ("eth0", "eth1")}
        for (name, _), address in ENTRANCES.items():
            outsider.run("ip", "neigh", "replace", address, "lladdr", macs["node-a", name], "dev", name)
        # Whoever it is: the answer goes to the outsider.
        for name, prefix in (("eth0", "203.0.113"), ("eth1", "192.168.1")):
            batch = [f"neigh replace {prefix}.{n} lladdr {macs['outsider', name]} dev {name}"
                     for n in range(256) if f"{prefix}.{n}" not in ENTRANCES.values()]
            node.run("ip", "-batch", "-", input="\n".join(batch))
        node.sh(f"eth0={macs['outsider', 'eth0']} eth1={macs['outsider', 'eth1']}\n{NODE}")
        processor = str(sorted(os.sched_getaffinity(0))[os.getpid() % len(os.sched_getaffinity(0))])
        self.taker = self.program(node, processor, PORTS)
        assert json.loads(self.taker.stdout.readline()) == "ready"
        self.connecter = self.program(outsider, processor, {name: macs["node-a", name] for name in ("eth0", "eth1")})
        return self

    def program(self, host: Host, *arguments: str | list | dict) -> subprocess.Popen:
        """Start connects.py there; it ends with the lab."""
        argv = [each if isinstance(each, str) else json.dumps(each) for each in arguments]
        started = host.popen("python3", "-IS", str(Path(__file__).with_name("connects.py")), *argv,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._processes.append(started)
        return started

    def connect(self, tries: list[tuple[str, int, str, int]]) -> str:
        """Connect to the node, from (source, source port or 0) to (address, port) each; a letter each: o, r or f."""
        self.connecter.stdin.write(json.dumps(tries) + "\n")
        self.connecter.stdin.flush()
        return json.loads(self.connecter.stdout.readline())
