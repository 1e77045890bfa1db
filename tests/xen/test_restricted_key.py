# SPDX-License-Identifier: MIT
"""Who holds the key of the account xen-migration tries everything else with it, by the real sshd, sudo and xl."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.namespaces import Host
from tests.test_xl_receive import REFUSED, SAYS_NO
from tests.xen import account

SCENARIO = "isolated-management-network"
ADDRESS = "192.168.1.2"
SSH = ["ssh", "-T", "-F", account.CLIENT, "-o", "ExitOnForwardFailure=yes"]


@contextmanager
def connection(node: Host) -> Iterator[list[str]]:
    """One login for many commands, since each costs seconds here; the command line that uses it."""
    control = "/run/connection"
    node.run(*SSH, "-M", "-N", "-f", "-S", control, ADDRESS)
    try:
        yield [*SSH, "-S", control, ADDRESS]
    finally:
        node.run(*SSH, "-S", control, "-O", "exit", ADDRESS, check=False)


def refused(node: Host, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run what must fail."""
    done = node.run(*argv, check=False)
    assert done.returncode != 0, (argv, done)
    return done


def test_nothing_but_a_migration(start_cluster, xen):
    lab = start_cluster(SCENARIO, xen)
    holder, target = lab["node-a"], lab["node-b"]
    account.set_up(holder, target, "eth1")
    before = target.run("sh", "-c", "ls -A / /root /tmp; xl list | cut -c1-48; cat /etc/passwd").stdout

    with connection(holder) as through:
        for name, command in REFUSED.items():
            done = refused(holder, *through, *([command] if command else []))
            assert (done.stdout, done.stderr) == ("", SAYS_NO), (name, done)
        for subsystem in ("sftp", "no-such-subsystem"):
            assert refused(holder, *through[:-1], "-s", ADDRESS, subsystem).stdout == ""
        # What xl sends gets to the real xl, which waits for a guest and is told that there is none.
        done = holder.run(*through, "xl migrate-receive", check=False)
        assert "xl migration receiver ready" in done.stdout, done

    assert "PTY allocation request failed" in refused(holder, *SSH, "-tt", ADDRESS).stderr
    assert "administratively prohibited" in refused(holder, *SSH, "-W", "127.0.0.1:22", ADDRESS).stderr
    for listener in ("127.0.0.1:8012", "8012"):
        assert "remote port forwarding failed" in refused(holder, *SSH, "-N", "-R", f"{listener}:127.0.0.1:22",
                                                          ADDRESS).stderr
    assert "remote" in refused(holder, *SSH, "-N", "-R", "/run/forwarded:127.0.0.1:22", ADDRESS).stderr
    assert "Permission denied" in refused(holder, *SSH, "-l", "root", ADDRESS).stderr
    # Another address of the same node: the key is for the one.
    assert "Permission denied" in refused(holder, *SSH, "-b", "203.0.113.11", "-o", f"HostKeyAlias={ADDRESS}",
                                          "203.0.113.12").stderr
    assert "Host key verification failed" in refused(holder, *SSH, "203.0.113.12").stderr

    assert target.run("sh", "-c", "ls -A / /root /tmp; xl list | cut -c1-48; cat /etc/passwd").stdout == before


AGENT = """
    eval "$(ssh-agent)" >/dev/null
    ssh -T -F {client} -A {address}
    kill "$SSH_AGENT_PID"
"""


@pytest.mark.parametrize("held_by", ["the key's line", "sshd's settings", "nothing"])
def test_no_agent_comes_along(start_cluster, held_by):
    """Each of the two would do alone; without both, the other side could use the agent of who logs in."""
    lab = start_cluster(SCENARIO, "4.17")
    holder, target = lab["node-a"], lab["node-b"]
    account.set_up(holder, target, "eth1")
    drop_in, keys = "/etc/ssh/sshd_config.d/00-xen-migration.conf", "/etc/ssh/xen-migration-authorized-keys"
    target.sh(f"sed -i 's/ForceCommand .*/ForceCommand env/' {drop_in}")
    if held_by != "sshd's settings":
        target.sh(f"sed -i '/Forwarding/d' {drop_in}")
    if held_by != "the key's line":
        target.sh(f"sed -i 's/^restrict,//' {keys}")
    account.reload_sshd(target)
    said = holder.sh(AGENT.format(client=account.CLIENT, address=ADDRESS)).stdout
    assert "SSH_CONNECTION=" in said
    assert ("SSH_AUTH_SOCK=" in said) == (held_by == "nothing")
