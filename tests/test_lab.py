# SPDX-License-Identifier: MIT
"""The lab itself: what a probe says, what a host is, and that nothing is left behind."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import namespaces, skip, topology
from tests.lab.namespaces import Lab, LabError
from tests.lab.wait import until

NODE = "203.0.113.11"


def test_a_probe_says_open_refused_or_filtered(make_lab):
    lab = make_lab("domain-0")
    node, outsider = lab["node-a"], lab["outsider"]
    node.listen(8002)
    assert outsider.probe(NODE, 8002) == "open"
    assert outsider.probe(NODE, 8003) == "refused"
    node.sh("nft add table inet t; nft add chain inet t c '{ type filter hook input priority 0; }'; "
            "nft add rule inet t c tcp dport 8002 drop; "
            "nft add rule inet t c tcp dport 8004 reject with icmpx admin-prohibited")
    assert outsider.probe(NODE, 8002) == "filtered"
    assert outsider.probe(NODE, 8004) == "refused"


def test_a_broken_lab_is_no_closed_port(make_lab):
    """An error of the lab's own is never taken for the work of a packet filter."""
    lab = make_lab("domain-0")
    lab["outsider"].sh("ip route del default")
    with pytest.raises(LabError, match="unreachable"):
        lab["outsider"].probe("198.51.100.10", 22)
    with pytest.raises(LabError, match="assign"):
        lab["outsider"].probe(NODE, 22, source="192.0.2.1")


@pytest.mark.parametrize("part", ["wires", "settings"])
def test_a_lab_that_cannot_be_made_says_why(part, monkeypatch):
    skip.without_lab(namespaces.why_not())
    lab = Lab("domain-0")
    monkeypatch.setattr(lab, part, lambda *_: "link set nothing up")
    with pytest.raises(LabError, match='did not start.*"nothing"'):
        lab.__enter__()


def test_the_guest_is_on_the_bridge(make_lab):
    """Its packets come in by the vif, on the bridge that the outside card is a port of."""
    lab = make_lab("domain-0")
    ports = lab["node-a"].run("ls", "/sys/class/net/xenbr0/brif", check=False).stdout or \
        lab["node-a"].run("ip", "-o", "link", "show", "master", "xenbr0").stdout
    assert "eth0" in ports and "vif1.0" in ports
    lab["outsider"].listen(80)
    assert lab["guest-a"].probe("203.0.113.66", 80) == "open"


@pytest.mark.parametrize("bridge_nf", [False, True])
def test_bridge_nf_decides_whether_iptables_sees_what_crosses_the_bridge(make_lab, bridge_nf):
    lab = make_lab("domain-0", bridge_nf=bridge_nf)
    lab["outsider"].listen(80)
    lab["node-a"].sh("iptables -A FORWARD -p tcp --dport 80 -j REJECT --reject-with tcp-reset")
    assert lab["guest-a"].probe("203.0.113.66", 80) == ("refused" if bridge_nf else "open")


@pytest.mark.parametrize("back_end", namespaces.BACK_ENDS)
def test_the_back_end_is_the_one_asked_for(make_lab, back_end):
    node = make_lab("domain-0", back_end)["node-a"]
    assert ("nf_tables" if back_end == "iptables-nft" else "legacy") in node.run("iptables", "-V").stdout


@pytest.mark.parametrize("command", [
    "iptables -A INPUT -j DROP", "iptables -P INPUT DROP", "iptables -N X", "ip6tables -A OUTPUT -j DROP",
    "nft add table inet t", "nft add table bridge t", "iptables -t raw -A PREROUTING -j DROP",
    "iptables -A INPUT -j ACCEPT",
])
@pytest.mark.parametrize("back_end", namespaces.BACK_ENDS)
def test_rules_tell_any_change(make_lab, back_end, command):
    node = make_lab("domain-0", back_end)["node-a"]
    before = node.rules()
    node.sh(command)
    assert node.rules() != before


@pytest.mark.parametrize("back_end", namespaces.BACK_ENDS)
def test_rules_pass_over_the_empty_tables_of_iptables(make_lab, back_end):
    node = make_lab("domain-0", back_end)["node-a"]
    before = node.rules()
    node.sh("for i in iptables ip6tables; do $i -A INPUT -j DROP; $i -D INPUT -j DROP; done")
    assert node.rules() == before


def machine_state() -> list[str]:
    """The machine's own rules, interfaces and namespaces, as far as this user may see them."""
    commands = ("ip -o link", "ip netns", "cat /proc/mounts")
    if os.geteuid() == 0:  # nobody else may read them, nor change them
        commands += ("nft -s list ruleset", "iptables-legacy-save", "ip6tables-legacy-save")
    return [subprocess.run(["env", f"PATH={namespaces.PATH}", *command.split()], capture_output=True, text=True,
                           check=True).stdout for command in commands]


def test_nothing_of_the_machine_is_touched(make_lab):
    lab = make_lab("isolated-management-network")
    before = machine_state()
    file = Path(f"/run/of-the-lab-{os.getpid()}")
    lab["node-a"].sh("nft -f isolated-management-network/firewall.nft; iptables -A INPUT -j DROP; "
                     f"echo changed > /etc/hosts; echo x > {file}; hostname other")
    assert machine_state() == before
    assert Path("/etc/hosts").read_text() != "changed\n" and not file.exists()
    lab.stop()
    assert machine_state() == before


INTERRUPTED = """
from tests.lab.namespaces import Lab
with Lab("domain-0") as lab:
    node = lab["node-a"]
    node.listen(8002)
    node.popen("setsid", "sleep", "4343")  # what a daemon would do
    print(lab.anchor, flush=True)
    input()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_behind_when_a_test_is_interrupted(number):
    skip.without_lab(namespaces.why_not())
    before = machine_state()
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, cwd=namespaces.PROJECT,
                               # A shell has what it starts in the background ignore it.
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    anchor = int(process.stdout.readline())
    inside = os.readlink(f"/proc/{anchor}/ns/pid")
    assert members(inside)
    process.send_signal(number)
    process.wait()
    until(lambda: not members(inside), "every process of the lab has ended")
    process.stdin.close()
    process.stdout.close()
    assert machine_state() == before


def members(pid_namespace: str) -> list[str]:
    """The processes in a process namespace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "ns/pid") == pid_namespace:
                found.append(process.name)
        except OSError:
            pass
    return found


GOOD = topology.load("domain-0")


@pytest.mark.parametrize("change, words", [
    (('role = "router"', 'role = "king"'), "router: unknown role 'king'"),
    (('network = "administrators"', 'network = "lost"'), "unknown network 'lost'"),
    (('"198.51.100.10/24"', '"10.1.1.1/24"'), "10.1.1.1/24 is not in the network administrators"),
    (('"198.51.100.10/24"', '"198.51.100.999/24"'), "admin: eth0: '198.51.100.999/24' does not appear to be"),
    (('node = "node-a"', 'node = "node-z"'), "no node with the bridge 'xenbr0'"),
    (('role = "guest"', 'role = "outsider"'), "a guest, and only a guest, names its node"),
    (('title = "Domain-0"', ''), "domain-0: title: missing"),
    (('role = "router"', ''), "domain-0: router: role: missing"),
    (('title = "Domain-0"', 'title = "Domain-0"\nhost = 1'), "domain-0: host: no such key"),
    (('routes = [', 'route = ['), ": route: no such key"),
    (('prefixes = [', 'colour = ["red"]\nprefixes = ['), ": colour: no such key"),
    (('vif = "vif1.0"', 'wire = "vif1.0"'), "wire"),
    (('port = 22', 'port = 22\ninterface = "eth9"'), "a path names 'eth9', which node-a has not"),
    (('title = "Domain-0"', 'title = '), "domain-0: "),
])
def test_a_topology_that_does_not_fit_is_an_error_that_names_the_entry(change, words):
    text = (topology.EXAMPLES / "domain-0/topology.toml").read_text()
    assert change[0] in text
    with pytest.raises(topology.TopologyError) as error:
        topology.parse(text.replace(*change), "domain-0")
    assert words in str(error.value)
    assert topology.parse(text, "domain-0") == GOOD
