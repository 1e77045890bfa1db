# SPDX-License-Identifier: MIT
"""An untrusted subnet: relocation disabled, and a tunnel through which it still works."""
from __future__ import annotations

import subprocess

import pytest

from tests.lab import sshd
from tests.lab.client_port import answered, begun_by_both
from tests.lab.cycle import assert_cycle, fail, probes, succeed
from tests.lab.filters import accept_before, apply, undo
from tests.lab.namespaces import Lab
from tests.lab.wait import until

SCENARIO = "untrusted-subnet"
FIREWALL = f"{SCENARIO}/firewall"
#: A login with the tunnel's key.
SSH = ("ssh", "-i", "/etc/xen/relocation-key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
       "-o", "UserKnownHostsFile=/etc/xen/relocation-known-hosts")
NODE_A, NODE_B, NODE_B6 = "203.0.113.11", "203.0.113.12", "2001:db8:2::12"


def over_the_network(lab: Lab) -> dict:
    """Everybody who is not node-b itself, node-a included: the network tells nobody apart."""
    return probes(lab, ("outsider", "guest-a", "node-a", "admin"), (NODE_B, NODE_B6))


def to_an_impostor(lab: Lab) -> dict:
    """The node itself, when whoever relocates forgets the tunnel."""
    return probes(lab, ("node-b",), ("203.0.113.66", "2001:db8:2::66"))


def test_relocation_disabled_in_the_filter(start, packet_filter):
    """The filter alone: the port is closed to all, loopback apart."""
    lab = start(SCENARIO)
    node = lab["node-b"]
    node.listen(8002)
    node.listen(22)
    lab["outsider"].listen(8002)
    accept_before(node)
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 over_the_network(lab) | to_an_impostor(lab),
                 {"loopback": lambda: node.probe("127.0.0.1", 8002), "loopback, IPv6": lambda: node.probe("::1", 8002),
                  "ssh": lambda: lab["admin"].probe(NODE_B, 22), "ssh, IPv6": lambda: lab["admin"].probe(NODE_B6, 22)})


def test_a_client_may_have_that_port(start, packet_filter):
    """What answers a connection is no relocation, and what only looks like an answer is refused."""
    lab = start(SCENARIO)
    node, outsider = lab["node-a"], lab["outsider"]
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 begun_by_both(node, outsider), answered(node, outsider))


def test_relocation_disabled_in_xend(make_lab):
    """xend alone: nothing listens."""
    lab = make_lab(SCENARIO)
    node = lab["node-b"]
    node.run("tee", "/etc/xen/xend-config.sxp", input="(xend-relocation-server yes)")
    node.run("xend", "restart")
    succeed({"outsider": lambda: lab["outsider"].relocate(NODE_B)})
    node.sh(f"cp {SCENARIO}/xend-config.sxp /etc/xen/ && xend restart")
    assert lab["outsider"].relocate(NODE_B) == "refused"
    assert node.run("ss", "-Hltn", "sport = :8002").stdout == ""


def with_tunnel(lab: Lab) -> subprocess.Popen:
    """Set both nodes up as the page says, and hold the tunnel from node-a to node-b."""
    sender, receiver = lab["node-a"], lab["node-b"]
    sshd.prepare(receiver)
    sender.sh("ssh-keygen -q -t ed25519 -N '' -f /etc/xen/relocation-key")
    public = sender.sh("cat /etc/xen/relocation-key.pub").stdout
    line = f'restrict,port-forwarding,from="{NODE_A}" {public}'
    receiver.run("tee", "/etc/ssh/relocation-authorized-keys", input=line)
    receiver.sh(f"cp {SCENARIO}/sshd-relocation.conf /etc/ssh/sshd_config.d/relocation.conf; "
                f"cp {SCENARIO}/xend-config-tunnel.sxp /etc/xen/xend-config.sxp; xend restart")
    host_key = receiver.sh("cat /etc/ssh/ssh_host_ed25519_key.pub").stdout
    sender.run("tee", "/etc/xen/relocation-known-hosts", input=f"{NODE_B} {host_key}")
    sshd.start(receiver)
    return sender.popen("sh", f"{SCENARIO}/tunnel.sh", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.fixture
def needs_sshd():
    if reason := sshd.why_not():
        pytest.skip(reason)


def test_through_the_tunnel_open_in_clear_refused(start, packet_filter, needs_sshd):
    lab = start(SCENARIO)
    sender, receiver = lab["node-a"], lab["node-b"]
    lab["outsider"].listen(8002)
    for node in (sender, receiver):
        apply(node, packet_filter, FIREWALL)
    sender.sh("echo 'GatewayPorts yes' > /etc/ssh/ssh_config.d/gateway.conf")  # whatever its own settings say
    tunnel = with_tunnel(lab)
    until(lambda: sender.probe("127.0.0.1", 8012) == "open", "the tunnel listens", tunnel)
    assert sender.relocate("127.0.0.1", 8012) == "ready"
    assert receiver.run("ss", "-Hltn", "sport = :8002").stdout.split()[3] == "127.0.0.1:8002"
    assert receiver.probe("127.0.0.1", 8003) == "refused"  # where xend would speak TLS
    # Of the receiver's own, only what comes from the tunnel's end gets in: no other address, whatever its name.
    receiver.sh("printf '%s\\n' '127.0.0.2 127x0.0.1' '127.0.0.3 127.0x0.1' '127.0.0.4 127.0.0x1' >> /etc/hosts")
    for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.10"):
        assert receiver.relocate("127.0.0.1", source=source) == "rejected", source
    fail(over_the_network(lab))
    fail({f"{name} -> the tunnel's end": (lambda name=name: lab[name].probe(NODE_A, 8012))
          for name in ("outsider", "guest-a", "node-b")})
    for host, targets in ((lab["outsider"], (NODE_B, NODE_B6)), (receiver, ("203.0.113.66", "2001:db8:2::66"))):
        for target in targets:  # in and out, it is as if nothing listened
            assert host.ask(do="refusal", address=target, port=8002)["refusal"] == "reset"
    tunnel.stderr.close()


def test_the_tunnels_account_can_do_nothing_else(make_lab, needs_sshd):
    """No shell, no other port, and nothing at all from another address."""
    lab = make_lab(SCENARIO)
    sender, receiver = lab["node-a"], lab["node-b"]
    with_tunnel(lab).stderr.close()
    receiver.listen(9999, "127.0.0.1")
    target = f"relocation@{NODE_B}"

    forwarded = sender.run(*SSH, "-W", "127.0.0.1:8002", target, input="help\n", check=False)
    assert "receive" in forwarded.stdout, forwarded.stderr
    other = sender.run(*SSH, "-W", "127.0.0.1:9999", target, input="help\n", check=False)
    assert other.returncode and "prohibited" in other.stderr, other.stderr
    back = sender.run(*SSH, "-N", "-o", "ExitOnForwardFailure=yes", "-R", "9998:127.0.0.1:22", target, check=False)
    assert back.returncode and "remote port forwarding failed" in back.stderr, back.stderr
    shell = sender.run(*SSH, target, "echo in", check=False)
    assert shell.returncode and "in" not in shell.stdout.split()

    for name in ("relocation-key", "relocation-known-hosts"):
        stolen = sender.sh(f"cat /etc/xen/{name}").stdout
        lab["outsider"].run("install", "-m", "600", "/dev/stdin", f"/etc/xen/{name}", input=stolen)
    from_elsewhere = lab["outsider"].run(*SSH, "-W", "127.0.0.1:8002", target, input="help\n", check=False)
    # Nothing but a key is asked for.
    assert "Permission denied (publickey)." in from_elsewhere.stderr, from_elsewhere.stderr
    # Nobody else is concerned.
    others = receiver.run("/usr/sbin/sshd", "-T", "-C", "user=root,host=x,addr=192.0.2.1").stdout.splitlines()
    assert "forcecommand none" in others


def test_the_settings_hold_without_the_keys_restrictions(make_lab, needs_sshd):
    """A key whose restrictions were forgotten, and an account that has a shell: it gets no more for that."""
    lab = make_lab(SCENARIO)
    sender, receiver = lab["node-a"], lab["node-b"]
    # What sshd itself runs in every session, before anything else: it tells what the session has.
    receiver.sh("chmod 1777 /media; echo 'env > /media/session' > /etc/ssh/sshrc")
    with_tunnel(lab).stderr.close()
    receiver.sh("sed -i 's,/usr/sbin/nologin,/bin/sh,' /etc/passwd; "
                "sed -i 's/^restrict[^ ]* //' /etc/ssh/relocation-authorized-keys")
    sender.sh("ssh-keygen -q -t ed25519 -N '' -f /run/other")
    target = f"relocation@{NODE_B}"

    everything = sender.sh("ssh-agent -a /run/agent sh -c 'ssh-add -q /run/other; DISPLAY=:0 exec ssh \"$@\"' "
                           f"sh {' '.join(SSH[1:])} -o ForwardAgent=yes -o ForwardX11=yes -o ForwardX11Trusted=yes "
                           f"{target} echo in", check=False)
    assert everything.returncode == 1 and "in" not in everything.stdout.split(), everything.stderr
    session = receiver.run("cat", "/media/session").stdout
    assert "SSH_CONNECTION=" in session
    assert not [name for name in ("SSH_AUTH_SOCK", "DISPLAY") if f"{name}=" in session], session

    terminal = sender.run(*SSH, "-tt", target, check=False)
    assert "PTY allocation request failed" in terminal.stderr, terminal.stderr
    device = sender.run(*SSH, "-v", "-o", "ExitOnForwardFailure=yes", "-w", "any", target, check=False)
    assert "Server has rejected tunnel device forwarding" in device.stderr, device.stderr


def test_a_tunnel_or_an_error(make_lab, needs_sshd):
    """Where the other end's key is not the one on file, there is no tunnel; nor where it cannot listen."""
    lab = make_lab(SCENARIO)
    first = with_tunnel(lab)
    sender = lab["node-a"]
    until(lambda: sender.probe("127.0.0.1", 8012) == "open", "the tunnel listens", first)
    first.stderr.close()
    second = sender.run("sh", f"{SCENARIO}/tunnel.sh", check=False)
    assert second.returncode == 255 and "cannot listen" in second.stderr

    # Only the file of the tunnel counts, not what the whole node takes for known.
    sender.sh("ssh-keygen -q -t ed25519 -N '' -f /run/other && "
              "cp /etc/xen/relocation-known-hosts /etc/ssh/ssh_known_hosts && "
              f"echo {NODE_B} $(cat /run/other.pub) > /etc/xen/relocation-known-hosts")
    tunnel = sender.run("sh", f"{SCENARIO}/tunnel.sh", check=False)
    assert tunnel.returncode == 255 and "Host key verification failed" in tunnel.stderr

    sender.sh(f"sed -i 's/^peer_address=.*/peer_address=203.0.113.300/' {SCENARIO}/tunnel.sh")
    wrong = sender.run("sh", f"{SCENARIO}/tunnel.sh", check=False)
    assert wrong.returncode == 2 and "'203.0.113.300' is not an IPv4 address" in wrong.stderr
