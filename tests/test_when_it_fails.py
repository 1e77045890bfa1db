# SPDX-License-Identifier: MIT
"""What the pages say of commands that they name within a sentence, and that no transcript can show well."""
from __future__ import annotations

import re

import pytest

from tests.lab.cycle import fail, succeed
from tests.lab.filters import apply
from tests.lab.wait import until

NODE = "203.0.113.11"


def test_tcpdump_shows_a_packet_that_is_dropped(make_lab):
    """It looks before the packet filter does."""
    lab = make_lab("domain-0")
    node = lab["node-a"]
    if node.run("sh", "-c", "command -v tcpdump", check=False).returncode:
        pytest.skip("not installed: tcpdump; sudo ./install-packages.sh test")
    node.listen(8002)
    node.sh("nft add table inet why; nft 'add chain inet why input { type filter hook input priority 0; }'; "
            "nft add rule inet why input tcp dport 8002 drop")
    # -l: what is seen is written at once; -Z: as root it changes to another account, which a namespace may not have.
    seen = node.popen("sh", "-c", "exec tcpdump -l -Z root -ni xenbr0 tcp port 8002 >/run/seen 2>/run/said")
    until(lambda: re.search("listening on|Couldn't change", node.run("cat", "/run/said", check=False).stdout),
          "tcpdump listens")
    if "Couldn't change" in node.run("cat", "/run/said").stdout:
        pytest.skip("without root tcpdump cannot change its groups, and ends")
    fail({"dropped": lambda: lab["outsider"].probe(NODE, 8002)})
    until(lambda: f"> {NODE}.8002: Flags [S]" in node.run("cat", "/run/seen").stdout, "the packet is shown", seen)


def test_the_counter_of_the_reverse_path_filter(make_lab):
    """A packet whose source is elsewhere, by the node's own routes, is counted there and nowhere else."""
    lab = make_lab("domain-0")
    node, outsider = lab["node-a"], lab["outsider"]
    node.listen(8002)
    node.sh("ip link add elsewhere type bridge; ip link set elsewhere up; ip route add 192.0.2.0/24 dev elsewhere")

    def count() -> int:
        # Its history would be a file in /tmp, where another user's may be in its way.
        return int(re.search(r"ReversePathFilter\s+(\d+)", node.run(
            "env", "NSTAT_HISTORY=/run/nstat", "nstat", "-az", "TcpExtIPReversePathFilter").stdout)[1])

    # From its own address first: the node's Ethernet address has to be known, since ARP is refused, too, uncounted.
    succeed({"from its own address": lambda: outsider.probe(NODE, 8002)})
    assert count() == 0
    outsider.sh("ip address add 192.0.2.7/32 dev eth0")
    fail({"from where it cannot be": lambda: outsider.probe(NODE, 8002, source="192.0.2.7")})
    assert count() > 0


def test_a_host_key_is_found_and_taken_out(make_lab):
    node = make_lab("domain-0")["node-a"]
    # In a file of the host's own: ssh-keygen would take the one of the machine's root.
    node.sh('echo "node-a $(cat /etc/ssh/ssh_host_ed25519_key.pub)" >/run/known')
    shown = node.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[1]
    assert shown.startswith("SHA256:")
    assert shown in node.run("ssh-keygen", "-lF", "node-a", "-f", "/run/known").stdout
    node.run("ssh-keygen", "-R", "node-a", "-f", "/run/known")
    assert node.run("ssh-keygen", "-lF", "node-a", "-f", "/run/known", check=False).returncode == 1


def logins(lab) -> dict:
    """Attempts at port 22, by an administrator and by an outsider."""
    return {name: (lambda name=name: lab[name].probe(NODE, 22)) for name in ("admin", "outsider")}


@pytest.mark.parametrize("policy", ["ACCEPT", "DROP"])
@pytest.mark.parametrize("back_end", ["iptables-nft", "iptables-legacy"])
def test_a_flush_opens_the_host_only_where_the_policy_accepts(make_lab, back_end, policy):
    """Domain-0's firewall by iptables leaves the policy alone; where that is DROP, as ufw sets it, a flush cuts all."""
    lab = make_lab("domain-0", back_end)
    node = lab["node-a"]
    node.listen(22)
    node.run("iptables", "-P", "INPUT", policy)
    node.run("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-s", "198.51.100.0/24", "-j", "ACCEPT")
    before = node.rules()
    apply(node, back_end, "domain-0/firewall")
    fail({"outsider": logins(lab)["outsider"]})
    succeed({"admin": logins(lab)["admin"]})
    node.run("iptables", "-F")
    (succeed if policy == "ACCEPT" else fail)(logins(lab))
    node.run("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-s", "198.51.100.0/24", "-j", "ACCEPT")
    node.run("sh", "iptables.sh", "undo", "domain-0/firewall")
    assert node.rules() == before


def test_a_flush_of_the_table_cuts_everything(make_lab):
    """The chain stays, with its policy and without a rule; to delete the table opens the host."""
    lab = make_lab("domain-0")
    node = lab["node-a"]
    node.listen(22)
    apply(node, "nftables", "domain-0/firewall")
    succeed({"admin": logins(lab)["admin"]})
    node.run("nft", "flush", "table", "inet", "domain_0")
    fail(logins(lab))
    node.run("nft", "delete", "table", "inet", "domain_0")
    succeed(logins(lab))


def test_the_firewall_counts_what_it_refuses(make_lab):
    lab = make_lab("domain-0")
    node = lab["node-a"]
    apply(node, "nftables", "domain-0/firewall")
    for count in (0, 1):
        shown = node.sh("nft list chain inet domain_0 input | grep refused").stdout
        assert f"counter packets {count} " in shown and "domain-0 refused: " in shown
        fail({"outsider": lambda: lab["outsider"].probe(NODE, 8002)})


def test_nft_flush_ruleset_leaves_the_legacy_back_ends_rules(make_lab):
    lab = make_lab("domain-0", "iptables-legacy")
    node = lab["node-a"]
    node.listen(8002)
    attempt = {"outsider": lambda: lab["outsider"].probe(NODE, 8002)}
    succeed(attempt)
    node.run("iptables-legacy", "-A", "INPUT", "-p", "tcp", "--dport", "8002", "-j", "DROP")
    node.run("nft", "flush", "ruleset")
    fail(attempt)


def test_restore_test_passes_a_jump_to_nowhere(make_lab):
    """iptables-restore --test with the nft back end says nothing of what the commit itself refuses."""
    node = make_lab("domain-0", "iptables-nft")["node-a"]
    rules = "*filter\n-A INPUT -j NO-SUCH-CHAIN\nCOMMIT\n"
    before = node.rules()
    assert node.run("iptables-restore", "--noflush", "--test", input=rules).returncode == 0
    assert node.run("iptables-restore", "--noflush", input=rules, check=False).returncode != 0
    assert node.rules() == before
