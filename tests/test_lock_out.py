# SPDX-License-Identifier: MIT
"""Locking oneself out over ssh: the timer brings back the rules of before, and a confirmation keeps the new ones."""
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.lab import sshd
from tests.lab.filters import apply, iptables_of
from tests.lab.namespaces import Host, Lab
from tests.lab.wait import until

FIREWALL = "domain-0/firewall"
ADDRESSES = {"IPv4": "203.0.113.11", "IPv6": "2001:db8:2::11"}
#: What the pages give the timer, where no rules of that name were in force before.
UNDO = {"nftables": "nft delete table inet domain_0", "iptables": "sh iptables.sh undo domain-0/firewall"}
#: And where others were: what keeps them, and what brings them back.
KEEP = {"nftables": "(set -C; { echo 'table inet domain_0; delete table inet domain_0' && "
                    "nft -s list table inet domain_0; } >/run/before.nft)",
        "iptables": "sh iptables.sh save /run/before"}
APPLY = {"nftables": "nft -f domain-0/firewall.nft", "iptables": "sh iptables.sh apply domain-0/firewall"}
RESTORE = {"nftables": "nft -f /run/before.nft", "iptables": "sh iptables.sh restore /run/before"}
#: A timer's two minutes pass when the test says so: nothing is waited for, and nothing comes too early.
SLEEP = """#!/bin/sh
mkfifo /run/elapse 2>/dev/null
echo "$1" >/run/asked-to-sleep
exec cat /run/elapse
"""


class Login:
    """A login by ssh as root, in the folder of the examples, that stays until it is cut or closed."""

    def __init__(self, admin: Host, address: str):
        self.process = admin.popen(*ssh(address), "sh", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)

    def run(self, command: str) -> list[str]:
        """What a command prints, and its exit status; an empty list where the login is lost meanwhile."""
        try:
            self.process.stdin.write(f"( {command} ) </dev/null 2>&1; echo \"done $?\"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return []
        said: list[str] = []
        for line in self.process.stdout:
            said.append(line.rstrip("\n"))
            if line.startswith("done "):
                return said
        return []

    def lost(self) -> bool:
        """Whether the other end is gone; asks it."""
        return not self.run("true")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()


def ssh(address: str) -> list[str]:
    """The command of a login, which asks nothing: the administrator knows the node's key."""
    return ["ssh", "-6" if ":" in address else "-4", "-F", "none", "-S", "none",
            "-i", "/run/key", "-o", "UserKnownHostsFile=/run/known-hosts",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
            "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=2", f"root@{address}"]


@contextmanager
def logins(lab: Lab) -> Iterator[dict[str, Login]]:
    """One login by each version of IP."""
    with ExitStack() as stack:
        both = {}
        for name, address in ADDRESSES.items():
            both[name] = Login(lab["admin"], address)
            stack.callback(both[name].close)
            assert both[name].run("echo here") == ["here", "done 0"]
        yield both


def may_log_in(lab: Lab) -> dict[str, bool]:
    """Whether a new login works, by each version of IP."""
    return {name: lab["admin"].run(*ssh(address), "true", check=False).returncode == 0
            for name, address in ADDRESSES.items()}


BOTH, NEITHER = {"IPv4": True, "IPv6": True}, {"IPv4": False, "IPv6": False}


@pytest.fixture
def lab(make_lab, packet_filter: str) -> Lab:
    """Domain-0 with an sshd that the administrator's key lets in as root, and a timer that the test ends."""
    if os.geteuid():
        pytest.skip("without root, no login on a host of the lab may change its rules; sudo make test")
    if reason := sshd.why_not():
        pytest.skip(reason)
    lab = make_lab("domain-0", iptables_of(packet_filter))
    node, admin = lab["node-a"], lab["admin"]
    key = admin.sh("ssh-keygen -q -t ed25519 -N '' -f /run/key; cat /run/key.pub").stdout
    host_key = node.sh("cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub").stdout
    admin.run("tee", "/run/known-hosts", input="".join(f"{address} {host_key}" for address in ADDRESSES.values()))
    node.run("tee", "/etc/ssh/keys", input=key)
    # A login finds this host's own iptables, and begins in the folder of the examples.
    node.run("tee", "/etc/ssh/sshd_config.d/lab.conf", input=f"""
        AuthorizedKeysFile /etc/ssh/keys
        PermitRootLogin prohibit-password
        SetEnv PATH={node.environment['PATH']}
    """)
    node.sh("echo 'root:*:19000::::::' >>/etc/shadow; "
            "sed -i 's,^\\(root\\(:[^:]*\\)\\{4\\}\\):.*,\\1:/run/examples:/bin/sh,' /etc/passwd")
    node.run("tee", "/run/bin/sleep", input=SLEEP)
    node.run("chmod", "+x", "/run/bin/sleep")
    sshd.prepare(node)
    sshd.start(node)
    return lab


def edit(node: Host, script: str) -> None:
    """Change the firewall's files, all three, by a script of sed."""
    node.run("sed", "-i", script, *(f"{FIREWALL}.{ending}" for ending in ("nft", "v4", "v6")))


def start_timer(node: Host, login: Login, command: str) -> None:
    assert login.run(f"sh undo-in.sh 120 {command}")[-1] == "done 0"
    until(lambda: node.run("test", "-s", "/run/asked-to-sleep", check=False).returncode == 0, "the timer runs")
    assert node.sh("cat /run/asked-to-sleep; rm /run/asked-to-sleep").stdout == "120\n"


def two_minutes_later(node: Host) -> None:
    node.sh("echo >/run/elapse")


@pytest.mark.parametrize("before", ["no rules", "other rules"])
def test_a_lost_login_gets_the_old_rules_back_and_a_confirmed_change_stays(lab, packet_filter, before):
    node, tab = lab["node-a"], packet_filter.partition("-")[0]
    keep, way_back = ("true", UNDO[tab]) if before == "no rules" else (KEEP[tab], RESTORE[tab])
    node.sh("mkdir /run/good; cp domain-0/firewall.* /run/good")
    if before == "other rules":
        # Another version, which one can tell by its second port.
        edit(node, r"s/dport 22 accept/dport { 22, 2222 } accept/; s/^\(.*\)--dport 22 /\1--dport 2222 -j ACCEPT\n&/")
        apply(node, packet_filter, FIREWALL)
        assert "2222" in node.rules()
    old = node.rules()

    with logins(lab) as both:
        assert both["IPv4"].run(keep) == ["done 0"]
        start_timer(node, both["IPv4"], way_back)
        # A common mistake: the bridge's port in place of the bridge. And no word for the connections that are open.
        edit(node, r's/ip6\? saddr .admin/iifname "eth0" &/; s/^\(-A DOMAIN-0 \)\(-s [12]\)/\1-i eth0 \2/')
        edit(node, "/established/Id")
        both["IPv4"].run(APPLY[tab])
        assert both["IPv4"].lost() and both["IPv6"].lost()
    assert may_log_in(lab) == NEITHER
    two_minutes_later(node)
    until(lambda: node.rules() == old, "the old rules are back")
    assert may_log_in(lab) == BOTH

    node.sh("cp /run/good/* domain-0; rm -f /run/before.*")
    with logins(lab) as both:
        assert both["IPv4"].run(keep) == ["done 0"]
        start_timer(node, both["IPv4"], way_back)
        timer = node.run("cat", "/run/undo-in.pid").stdout.strip()
        assert both["IPv4"].run(APPLY[tab]) == ["done 0"]
    new = node.rules()
    assert new != old
    with logins(lab) as both:
        assert both["IPv6"].run("sh undo-in.sh cancel") == ["cancelled: the new rules stay", "done 0"]
    until(lambda: node.run("ps", "-o", "stat=", "-p", timer, check=False).stdout[:1] in ("", "Z"), "the timer is gone")
    two_minutes_later(node)
    assert may_log_in(lab) == BOTH
    assert node.rules() == new


def test_a_reload_ends_an_sshd_that_can_bind_no_address(make_lab):
    """Its check is content with the address. So a way back has to start sshd: there is nothing to reload."""
    if reason := sshd.why_not():
        pytest.skip(reason)
    lab = make_lab("domain-0")
    node = lab["node-a"]
    sshd.prepare(node)
    sshd.start(node)
    assert lab["admin"].probe(ADDRESSES["IPv4"], 22) == "open"
    process = node.sh("""
        cat /run/sshd.pid
        echo 'ListenAddress 203.0.113.12' >/etc/ssh/sshd_config.d/00-domain-0.conf
        /usr/sbin/sshd -t
        kill -HUP "$(cat /run/sshd.pid)"
    """).stdout.strip()
    until(lambda: node.run("ps", "-o", "stat=", "-p", process, check=False).stdout[:1] in ("", "Z"), "sshd has ended")
    assert lab["admin"].probe(ADDRESSES["IPv4"], 22) == "refused"
