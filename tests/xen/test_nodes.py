# SPDX-License-Identifier: MIT
"""A fresh node, as the guide has it: what listens on it, from inside and from outside."""
from __future__ import annotations

from tests.lab.cycle import verdicts

SCENARIO = "isolated-management-network"


def test_a_fresh_node(start_cluster, xen):
    """Booted, not restored: Domain-0 runs on the hypervisor that the image says, and nothing but sshd listens."""
    lab = start_cluster(SCENARIO, xen, cold=True)
    for name in ("node-a", "node-b"):
        assert "Domain-0" in lab[name].run("xl", "list").stdout
        info = lab[name].run("xl", "info").stdout
        major, minor = xen.split(".")
        assert [line.split()[-1] for line in info.splitlines()
                if line.startswith(("xen_major", "xen_minor"))] == [major, minor]
        assert {socket.rpartition(":")[2] for socket in lab[name].tcp_listeners()} == {"22"}
    ports = {port: verdicts({f"{host} -> {address}": (lambda host=host, address=address, port=port:
                                                      lab[host].probe(address, port))
                             for host, address in (("outsider", "203.0.113.11"), ("outsider", "2001:db8:2::11"),
                                                   ("admin", "203.0.113.12"), ("node-b", "192.168.1.1"),
                                                   ("node-a", "2001:db8:1::2"))}) for port in (22, 8002)}
    assert set(ports[22].values()) == {"open"}, ports
    assert set(ports[8002].values()) == {"refused"}, ports
