# SPDX-License-Identifier: MIT
"""The account that xl's live migration comes in by, on a real sshd: it can receive a guest, and nothing else.

Programs that tell what they were given stand in for sudo and xl; on real nodes, tests/xen runs the real ones. All that
the account must not do is done by another account, too, which may: so each attack works.
"""
from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab import namespaces, skip, sshd
from tests.lab.cycle import probes, succeed, verdicts
from tests.lab.namespaces import Host, Lab
from tests.test_xl_receive import SAYS_NO, with_xl

SCENARIO = "isolated-management-network"
CLIENT = "/etc/xen/migration/ssh_config"
RECEIVER = "192.168.1.2"
#: How a node logs in to the one that it sends a guest to; and how the other account does, with its own key.
MIGRATION = ["-F", CLIENT]
OTHER = [*MIGRATION, "-o", "User=other", "-i", "/etc/xen/other-key"]
#: Tells what a session has, and gives back what comes in.
XL = """#!/bin/sh
printf 'xl'; printf ' <%s>' "$@"; echo
env
ss -Hltn sport = :8012
ls /media
exec cat
"""
SUDO = """#!/bin/sh
[ "$1" = -n ] && shift
exec "$@"
"""
NOTHING = "#!/bin/sh\n"
#: The node's own settings, which allow everything.
PERMISSIVE = """
SetEnv PATH=/run/bin:/usr/bin:/bin
AuthorizedKeysFile /etc/ssh/keys-%u
PasswordAuthentication yes
KbdInteractiveAuthentication yes
AllowAgentForwarding yes
AllowTcpForwarding yes
X11Forwarding yes
XAuthLocation /run/bin/xauth
PermitTunnel yes
"""


def own_settings(host: Host, text: str) -> None:
    """What a node's sshd has been told besides; and it forgets who failed to log in, as tests fail on purpose."""
    host.run("tee", "/etc/ssh/sshd_config.d/lab.conf", input=text)
    host.sh("if /usr/sbin/sshd -T | grep -qi '^persourcepenalties'; then "
            "echo 'PerSourcePenalties no' >>/etc/ssh/sshd_config.d/lab.conf; fi")


def new_key(host: Host, path: str) -> str:
    """Make a key; its public half."""
    host.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
    return host.run("cat", f"{path}.pub").stdout


def program(host: Host, path: str, text: str) -> None:
    """A program on a host."""
    host.run("install", "-D", "-m", "755", "/dev/stdin", path, input=text)


def receiver(node: Host) -> None:
    """All but the keys that the page has the reader put on a node that receives."""
    sshd.prepare(node, "xen-migration", "/run/home", "/bin/sh")
    sshd.prepare(node, "other", "/run/home", "/bin/sh")
    own_settings(node, PERMISSIVE)
    node.sh("mount -t tmpfs -o mode=755 tmpfs /usr/local/sbin; chmod 1777 /media")
    program(node, "/usr/local/sbin/xl-receive", with_xl("/run/bin/xl"))
    for name, stub in {"sudo": SUDO, "xl": XL, "logger": NOTHING, "xauth": NOTHING}.items():
        program(node, f"/run/bin/{name}", stub)
    program(node, "/run/home/.ssh/rc", "#!/bin/sh\necho the rc file was run >&2\n")
    # A second host key, which a client that learns would learn.
    node.sh("sed s:/usr/bin/sudo:/run/bin/sudo: domain-0/sshd-xen-migration.conf "
            ">/etc/ssh/sshd_config.d/00-xen-migration.conf; "
            "ssh-keygen -q -t ecdsa -N '' -f /etc/ssh/ssh_host_ecdsa_key")


@pytest.fixture(scope="module")
def needs_sshd() -> None:
    if reason := sshd.why_not() or ("" if shutil.which("sftp") else "not installed: sftp"):
        pytest.skip(reason)


@pytest.fixture(scope="module")
def lab(needs_sshd) -> Iterator[Lab]:
    """node-a sends to node-b, and has its own sshd on the management network. No test changes anything."""
    skip.without_lab(namespaces.why_not())
    with Lab(SCENARIO) as lab:
        sender, node = lab["node-a"], lab["node-b"]
        receiver(node)
        # The home of root is not the machine's.
        sender.sh(f"""
            sed -i 's,^\\(root\\(:[^:]*\\)\\{{4\\}}\\):[^:]*,\\1:/run/home,' /etc/passwd
            install -d -m 700 /etc/xen/migration
            install -m 644 domain-0/ssh-xen-migration.conf {CLIENT}
        """)
        key, other = new_key(sender, "/etc/xen/migration/key"), new_key(sender, "/etc/xen/other-key")
        # The settings hold where the key's line has no "restrict". The other key is good from everywhere.
        node.run("tee", "/etc/ssh/xen-migration-authorized-keys", input=f'from="192.168.1.1" {key}{other}')
        node.run("tee", "/etc/ssh/keys-other", input=other)
        host_key = node.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout
        sender.run("tee", "/etc/xen/migration/known_hosts", input=f"{RECEIVER} {host_key}changed {other}")
        sender.run("tee", "/etc/ssh/ssh_known_hosts", input=f"the-whole-node-knows {host_key}")
        program(sender, "/run/ask", "#!/bin/sh\necho asked: \"$1\" >&2\nexit 1\n")
        sshd.start(node)
        sender.sh(f"cp {SCENARIO}/sshd-management.conf /etc/ssh/sshd_config.d/00-management.conf")
        sshd.start(sender)
        yield lab


def login(lab: Lab, *arguments: str, program: str = "ssh", input: str | None = None,
          agent: bool = False) -> subprocess.CompletedProcess[str]:
    """Run ssh, or what uses it, on node-a; with an agent that holds the other key where one is asked for.

    A question would be answered by a program that says that it was asked.
    """
    # Its own /tmp/ssh-… would stay on this machine: a lab ends before an agent sees that its command did.
    agent_of = 'exec ssh-agent -a /run/agent.$$ sh -c \'ssh-add -q /etc/xen/other-key; exec "$@"\' sh "$@"'
    before = ["sh", "-c", agent_of, "sh"] if agent else []
    return lab["node-a"].run("env", "DISPLAY=:0", "SSH_ASKPASS=/run/ask", "SSH_ASKPASS_REQUIRE=force",
                             *before, program, *arguments, input=input, check=False)


def test_what_xl_sends_gets_to_xl(lab):
    """The words and the stream."""
    done = login(lab, *MIGRATION, RECEIVER, "xl", "-v", "migrate-receive", "-d", input="the guest")
    assert done.returncode == 0 and done.stdout.startswith("xl <-v> <migrate-receive> <-d>\n"), done
    assert done.stdout.endswith("the guest")


def attacks(lab: Lab, who: list[str]) -> dict[str, tuple[subprocess.CompletedProcess[str], str, str]]:
    """What a login is tried for: what came of it, the text that whoever gets it sees, and who does not."""
    count = "echo $((6 * 7))"
    return {
        "a shell": (login(lab, "-T", *who, RECEIVER, input=count), "42", SAYS_NO),
        "a command": (login(lab, *who, RECEIVER, count), "42", SAYS_NO),
        "files": (login(lab, *who, RECEIVER, program="sftp", input="pwd"), "Remote working dir", "Connection closed"),
        "a port behind the node": (login(lab, *who, "-W", "127.0.0.1:22", RECEIVER), "SSH-2.0", "prohibited"),
    }


def test_nothing_but_a_migration(lab):
    for name, (done, seen, _) in attacks(lab, OTHER).items():
        assert seen in done.stdout, (name, done)
    for name, (done, seen, refusal) in attacks(lab, MIGRATION).items():
        assert done.returncode and seen not in done.stdout and refusal in done.stderr, (name, done)


def session(lab: Lab, who: list[str], name: str) -> list[str]:
    """What a session of xl's has, of all that it asked for."""
    done = login(lab, *who, "-A", "-Y", "-R", "8012:127.0.0.1:22", "-R", f"/media/{name}:127.0.0.1:22",
                 RECEIVER, "xl", "migrate-receive", agent=True)
    assert "SSH_CONNECTION=" in done.stdout, done
    has = {
        "the agent": "SSH_AUTH_SOCK=" in done.stdout,
        "a display": "DISPLAY=" in done.stdout,
        "a port": "127.0.0.1:8012" in done.stdout,
        "a socket": name in done.stdout.splitlines(),
        "its rc file": "the rc file was run" in done.stderr,
    }
    return [what for what, given in has.items() if given]


def test_its_session_has_nothing_else(lab):
    """Not even where the key's line does not restrict it, and the node's own settings allow it all."""
    assert session(lab, OTHER, "others-socket") == ["the agent", "a display", "a port", "a socket", "its rc file"]
    assert session(lab, MIGRATION, "a-socket") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="without root, sshd has no terminals to give")
def test_no_terminal(lab):
    assert "/dev/pts/" in login(lab, "-tt", *OTHER, RECEIVER, "tty").stdout
    assert "PTY allocation request failed" in login(lab, "-tt", *MIGRATION, RECEIVER, "xl", "migrate-receive").stderr


@pytest.mark.skipif(not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="/dev/net/tun is not for this user")
def test_no_tunnel_device(lab):
    """DisableForwarding says nothing of it. The other account's request gets as far as the kernel, which wants root."""
    for who, answer in ((OTHER, "Failed to open the tunnel device"),
                        (MIGRATION, "Server has rejected tunnel device forwarding")):
        done = login(lab, "-v", *who, "-w", "any", RECEIVER, "xl", "migrate-receive")
        assert answer in done.stderr, done


def denied(done: subprocess.CompletedProcess[str], methods: str) -> bool:
    """Whether a login was refused; ``methods`` are what the node would have been content with."""
    return done.returncode == 255 and f"Permission denied ({methods})." in done.stderr


def test_by_that_key_alone_from_that_address_alone(lab):
    """There is no password. Nor is another key offered that would do: the one in the agent is good from everywhere."""
    from_elsewhere = [*MIGRATION, "-b", "203.0.113.11", "-o", f"HostKeyAlias={RECEIVER}", "203.0.113.12",
                      "xl", "migrate-receive"]
    assert denied(login(lab, *from_elsewhere, agent=True), "publickey")
    assert login(lab, "-o", "IdentitiesOnly=no", *from_elsewhere, agent=True).returncode == 0
    assert denied(login(lab, *MIGRATION, "-l", "other", RECEIVER), "publickey,password,keyboard-interactive")


@pytest.mark.parametrize("name", ["nobody-knows", "changed", "the-whole-node-knows"])
def test_no_other_host_key(lab, name):
    """One that is not on file, one that is another, and one that only other logins of this node know."""
    done = login(lab, *MIGRATION, "-o", f"HostKeyAlias={name}", RECEIVER, "xl", "migrate-receive")
    assert done.returncode == 255 and "Host key verification failed." in done.stderr, done


def test_no_host_key_is_learnt(lab):
    """A known node names its other keys after the login; that adds none to the file."""
    lab["node-a"].sh("cp /etc/xen/migration/known_hosts /run/learning")
    learning = ["-o", "UpdateHostKeys=yes", "-o", "UserKnownHostsFile=/run/learning"]
    for options, file, learns in (([], "/etc/xen/migration/known_hosts", False), (learning, "/run/learning", True)):
        assert login(lab, *options, *MIGRATION, RECEIVER, "xl", "migrate-receive").returncode == 0
        assert ("ecdsa" in lab["node-a"].run("cat", file).stdout) == learns, file


def test_nobody_is_asked(lab):
    """Either of two settings is enough for that; without both, ssh would ask for a password."""
    by_password = ["-o", "PreferredAuthentications=password"]
    asking = ["-o", "BatchMode=no"]
    for options, asked in ((by_password, False), (asking, False), (asking + by_password, True)):
        done = login(lab, *options, *MIGRATION, "-l", "other", RECEIVER)
        assert done.returncode == 255 and ("asked: " in done.stderr) == asked, done


def test_the_senders_agent_stays_at_home(lab):
    """Not even an account that may have it gets it."""
    for options, forwarded in (([], False), (["-A"], True)):
        done = login(lab, *options, *OTHER, RECEIVER, "env", agent=True)
        assert "SSH_CONNECTION=" in done.stdout and ("SSH_AUTH_SOCK=" in done.stdout) == forwarded, done


def test_sshd_by_address(lab):
    """node-a's sshd answers on the management network only; node-b's, which nobody told so, everywhere."""
    succeed(probes(lab, ["node-b"], ("192.168.1.1", "2001:db8:1::1"), 22)
            | probes(lab, ["outsider"], ("203.0.113.12", "2001:db8:2::12"), 22))
    assert set(verdicts(probes(lab, ["outsider", "guest-a"], ("203.0.113.11", "2001:db8:2::11"), 22)).values()
               ) == {"refused"}


def test_nobody_logs_in_from_the_subnet(make_lab, needs_sshd):
    """Whoever they are and by whatever address, with a key that is good from everywhere else. node-a knows of no such
    rule."""
    lab = make_lab("untrusted-subnet")
    key = new_key(lab["admin"], "/run/key")
    private = lab["admin"].run("cat", "/run/key").stdout
    for name in ("outsider", "node-a"):
        lab[name].run("install", "-m", "600", "/dev/stdin", "/run/key", input=private)
    for name in ("node-a", "node-b"):
        sshd.prepare(lab[name], "somebody", "/run/home", "/bin/sh")
        own_settings(lab[name], "AuthorizedKeysFile /etc/ssh/keys\n")
        lab[name].run("tee", "/etc/ssh/keys", input=key)
    lab["node-b"].sh("cp untrusted-subnet/sshd-no-migration.conf /etc/ssh/sshd_config.d/00-no-migration.conf")
    for name in ("node-a", "node-b"):
        sshd.start(lab[name])
    # Right beside the subnet.
    lab["admin"].sh("ip address add 203.0.112.10 dev lo; ip address add 2001:db8:2:1::10 dev lo nodad")
    lab["router"].sh("ip route add 203.0.112.10 via 198.51.100.10; ip route add 2001:db8:2:1::10 via 2001:db8:a::10")

    def may_log_in(name: str, address: str, *options: str) -> bool:
        done = lab[name].run("ssh", "-F", "none", "-i", "/run/key", "-o", "BatchMode=yes", "-l", "somebody", *options,
                             "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                             address, "echo in", check=False)
        assert done.stdout == "in\n" or "Permission denied" in done.stderr, done
        return done.returncode == 0

    def on_the_wire(name: str) -> str:
        return lab[name].link_local("xenbr0") + "%eth0"

    node_a, node_b = ("203.0.113.11", "2001:db8:2::11"), ("203.0.113.12", "2001:db8:2::12")
    for address in (*node_a, on_the_wire("node-a")):
        assert may_log_in("outsider", address), address
    for address in (*node_b, on_the_wire("node-b")):
        assert not may_log_in("outsider", address), address
    for address in node_b:
        assert not may_log_in("node-a", address), address
        assert may_log_in("admin", address), address
    for address, source in zip(node_b, ("203.0.112.10", "2001:db8:2:1::10")):
        assert may_log_in("admin", address, "-b", source), source
