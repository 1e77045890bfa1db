# SPDX-License-Identifier: MIT
"""Rules that come back after a boot, by the commands of Debian's two services, and what else these do."""
from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab.cycle import Probes, fail, probes, succeed
from tests.lab.filters import apply, iptables_of
from tests.lab.namespaces import PROJECT, Host, Lab

ISOLATED = "isolated-management-network"
RULES = ("domain-0/firewall", f"{ISOLATED}/firewall")
NODE_B = ("203.0.113.12", "2001:db8:2::12")
UNIT = Path("/lib/systemd/system/nftables.service")
#: What netfilter-persistent.service starts: plugins/15-ip4tables and 25-ip6tables of Debian's iptables-persistent
#: 1.0.20. Once run with the package's own program, to the same end; the tests do not install it, since it would
#: load rules on the machine itself.
NETFILTER_PERSISTENT = "iptables-restore </etc/iptables/rules.v4; ip6tables-restore </etc/iptables/rules.v6"


def nftables_service(host: Host, *verbs: str) -> None:
    """``systemctl VERB nftables``, for each verb in turn."""
    systemctl(host, f"{UNIT} /etc/systemd/system/nftables.service.d/*.conf", *verbs)


def systemctl(host: Host, files: str, *verbs: str) -> None:
    """What systemd runs for a verb of ``systemctl``: the lines of a unit's own file and of its drop-ins.

    An empty line takes back those before it (systemd.service(5), ExecStart=). Only a unit of Type=oneshot counts as
    started when its commands have ended (Type=): of another, nothing has happened yet. Where neither a process nor
    RemainAfterExit= keeps it active, there is nothing to reload.
    """
    lines = host.sh(f"cat {files} 2>/dev/null || true").stdout.splitlines()
    for verb in verbs:
        if verb == "start" and "Type=oneshot" not in lines:
            continue
        assert verb != "reload" or "RemainAfterExit=yes" in lines, "the unit is not active, cannot reload"
        commands: list[str] = []
        for line in lines:
            key, _, command = line.partition("=")
            if key == f"Exec{verb.title()}":
                commands = [*commands, command] if command else []
        assert commands or verb == "stop", f"{verb}: not applicable for the unit"
        for command in commands:
            host.run(*shlex.split(command))


@pytest.fixture
def lab(make_lab, packet_filter: str) -> Lab:
    """Two nodes; nothing was ever applied on node-b, which is how a host is after a boot."""
    if not UNIT.exists():
        pytest.skip(f"no {UNIT}, which Debian's package nftables has; sudo ./install-packages.sh test")
    lab = make_lab(ISOLATED, iptables_of(packet_filter))
    for port in (22, 5900, 8002):
        lab["node-b"].listen(port)
    return lab


def admitted(lab: Lab) -> Probes:
    return probes(lab, ["node-a"], ["192.168.1.2", "2001:db8:1::2"]) | probes(lab, ["admin"], NODE_B, 22)


def refused(lab: Lab) -> Probes:
    return probes(lab, ["outsider"], NODE_B, 22, 5900, 8002)


def keep_nft(host: Host, *names: str) -> None:
    """As the page has it; the host's /etc/nftables.conf is Debian's."""
    host.sh("mkdir -p /etc/nftables.d; echo 'include \"/etc/nftables.d/*.nft\"' >>/etc/nftables.conf")
    for name in names:
        host.sh(f"cp {name}.nft /etc/nftables.d/{name.replace('/', '-')}.nft")


def keep_iptables(lab: Lab, packet_filter: str) -> None:
    """Saved on node-a, where they were applied; node-b has the files alone."""
    for name in RULES:
        apply(lab["node-a"], packet_filter, name)
    lab["node-b"].run("mkdir", "/etc/iptables")
    for command, ending in (("iptables", "v4"), ("ip6tables", "v6")):
        lab["node-b"].run("tee", f"/etc/iptables/rules.{ending}",
                          input=lab["node-a"].run(f"{command}-save").stdout)


def test_after_a_boot_the_rules_are_in_force(lab, packet_filter):
    """And still after a second start, and a reload."""
    node = lab["node-b"]
    succeed(admitted(lab) | refused(lab), "nothing loaded: ")
    if packet_filter == "nftables":
        keep_nft(node, *RULES)
        starts = [lambda: nftables_service(node, "start"), lambda: nftables_service(node, "stop", "start"),
                  lambda: nftables_service(node, "reload")]
    else:
        keep_iptables(lab, packet_filter)
        starts = [lambda: node.sh(NETFILTER_PERSISTENT)] * 2
    loaded = set()
    for start in starts:
        start()
        loaded.add(node.rules())
    assert len(loaded) == 1
    succeed(admitted(lab))
    fail(refused(lab))


#: Of others: a table, and a chain in what iptables with the nft back end calls its own.
OTHERS = """
    nft add table inet others; nft add chain inet others c; nft add rule inet others c ip saddr 192.0.2.1 drop
    xtables-nft-multi iptables -N OTHERS; xtables-nft-multi iptables -A OTHERS -s 192.0.2.2 -j DROP
    xtables-legacy-multi iptables -N OTHERS; xtables-legacy-multi iptables -A OTHERS -s 192.0.2.3 -j DROP
"""


def others(host: Host) -> list[bool]:
    """Which of :data:`OTHERS` is there."""
    rules = host.rules()
    return [address in rules for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3")]


@pytest.mark.parametrize("packet_filter", ["nftables"])
def test_a_stop_of_nftables_service_opens_the_host_and_the_ways_round_do_not(lab):
    node = lab["node-b"]
    keep_nft(node, *RULES)
    node.sh(OTHERS)

    # Debian's file begins with "flush ruleset": a start is no better for others than a stop.
    nftables_service(node, "start")
    assert others(node) == [False, False, True]
    fail(refused(lab))
    # With the page's two lines in its place it is, and so is a reload; the file's own rules do not add up.
    node.sh("sed -i 's/^flush ruleset/table inet filter\\ndelete table inet filter/' /etc/nftables.conf; "
            "echo 'add rule inet filter input ip saddr 192.0.2.9 drop' >>/etc/nftables.conf; "
            f"iptables-legacy -F; iptables-legacy -X; {OTHERS}")
    nftables_service(node, "start", "reload", "reload")
    assert node.rules().count("192.0.2.9") == 1
    assert others(node) == [True, True, True]
    fail(refused(lab))
    succeed(admitted(lab))

    # To take ours out alone:
    node.sh("nft delete table inet domain_0; nft delete table inet xen_relocation")
    assert others(node) == [True, True, True]
    succeed(refused(lab))

    # A stop, as shipped, takes all out. With the page's drop-in it takes nothing.
    nftables_service(node, "start", "stop")
    assert others(node) == [False, False, True]
    succeed(refused(lab))
    node.sh("mkdir -p /etc/systemd/system/nftables.service.d; "
            "printf '[Service]\\nExecStop=\\n' >/etc/systemd/system/nftables.service.d/stop.conf")
    nftables_service(node, "start", "stop")
    fail(refused(lab))


@pytest.mark.parametrize("packet_filter", ["nftables"])
def test_a_unit_of_our_own_loads_ours_and_leaves_others_alone(lab):
    """Beside firewalld, for one, whose unit and nftables.service exclude each other."""
    node = lab["node-b"]
    keep_nft(node, *RULES)
    node.sh(OTHERS)
    own = "domain-0/xen-rules.service"
    systemctl(node, own, "start")
    loaded = node.rules()
    fail(refused(lab))
    succeed(admitted(lab))
    systemctl(node, own, "reload", "stop", "start")
    assert node.rules() == loaded
    assert others(node) == [True, True, True]
    node.run("nft", "delete", "table", "inet", "domain_0")
    systemctl(node, own, "reload")
    fail(refused(lab), "loaded again: ")


def test_the_unit_of_our_own_comes_before_the_network(tmp_path):
    """systemd itself is asked, about a boot for which the unit is enabled as on the page. That fits; and it no longer
    does when something else would have the network before the unit. systemd sees a cycle then."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("not installed: systemd-analyze; sudo ./install-packages.sh test")
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/nft").touch(0o755)
    for name in ("sysinit.target", "network-pre.target", "shutdown.target"):
        shutil.copy(UNIT.with_name(name), units)
    shutil.copy(PROJECT / "examples/domain-0/xen-rules.service", units)
    in_root = f"--root={tmp_path}"
    subprocess.run(["systemctl", in_root, "-q", "enable", "xen-rules.service"], check=True)

    def cycles(unit: str) -> bool:
        said = subprocess.run(["systemd-analyze", in_root, "--man=no", "verify", unit], capture_output=True, text=True)
        assert not said.returncode, said.stderr
        return "ordering cycle" in said.stderr

    # A network that belongs to the first part of a boot is no contradiction.
    (units / "early-network.service").write_text("""[Unit]
DefaultDependencies=no
After=network-pre.target
Before=sysinit.target
[Service]
ExecStart=/usr/sbin/nft
[Install]
WantedBy=sysinit.target
""")
    subprocess.run(["systemctl", in_root, "-q", "enable", "early-network.service"], check=True)
    assert not cycles("sysinit.target")
    (units / "network-first.service").write_text("""[Unit]
DefaultDependencies=no
Wants=sysinit.target
After=network-pre.target
Before=xen-rules.service
[Service]
ExecStart=/usr/sbin/nft
""")
    assert cycles("network-first.service")


@pytest.mark.parametrize("packet_filter", ["iptables-nft", "iptables-legacy"])
def test_both_services_on_one_host(lab, packet_filter):
    """systemd starts them in any order: "flush ruleset" takes the rules of iptables where its back end is nft."""
    node = lab["node-b"]
    keep_iptables(lab, packet_filter)
    keep_nft(node, "subnet-behind-a-firewall/guests")
    node.sh(NETFILTER_PERSISTENT)
    nftables_service(node, "start")
    (succeed if packet_filter == "iptables-nft" else fail)(refused(lab), "flush ruleset came last: ")
    assert "xen_guests" in node.rules()

    node.sh("sed -i '/^flush ruleset/d' /etc/nftables.conf")
    services = [lambda: node.sh(NETFILTER_PERSISTENT), lambda: nftables_service(node, "start")]
    for order in (services, services[::-1]):
        node.sh("nft flush ruleset")
        for start in order:
            start()
        fail(refused(lab), "without flush ruleset: ")
        succeed(admitted(lab))
        assert "xen_guests" in node.rules()
