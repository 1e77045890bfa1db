# SPDX-License-Identifier: MIT
"""The lab on network namespaces: a scenario's hosts, on the kernel's own packet filter.

One *anchor* process owns a process, mount and network namespace (and, without
root, a user namespace). It lives as long as the pipe that the tests hold: when
they end, however they end, the kernel takes every process, interface and rule
of the lab with it. Each host is a network, mount and host name namespace below
the anchor; the networks between them are bridges in the anchor's namespace.
"""
from __future__ import annotations

import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import IO

from tests.lab import topology as topologies
from tests.lab.topology import Interface, Topology

PROJECT = Path(__file__).resolve().parents[2]
#: The packet filters that a test can ask for: what ``iptables`` means on its hosts.
BACK_ENDS = {"iptables-nft": "xtables-nft-multi", "iptables-legacy": "xtables-legacy-multi"}
IPTABLES_NAMES = [
    prefix + suffix for prefix in ("iptables", "ip6tables") for suffix in ("", "-save", "-restore")
]
#: Where the programs of the machine are, for whoever runs the tests.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Seconds after which anything in the lab counts as hung.
HUNG = 60

# Runs as the first process of the anchor. /run is the lab's own, so that lock
# and pid files of the machine's services are neither seen nor touched. The copy
# of /etc belongs to the lab's root, who may therefore change it; what only the
# machine's root may read (its keys) stays out.
ANCHOR = """
mount -t tmpfs tmpfs /run
mkdir /run/hosts /run/etc /run/media
cp -r /etc/. /run/etc/ 2>/dev/null || true
# ssh refuses settings of an owner whom it does not know: without root, the machine's root.
rm -rf /run/etc/ssh/ssh_config.d/*
rm -rf /run/etc/ssh/ssh_host_* /run/etc/ssh/sshd_config.d/* /run/etc/shadow* /run/etc/resolv.conf
ip link set lo up
echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || true
echo 0 > /proc/sys/net/bridge/bridge-nf-call-ip6tables 2>/dev/null || true
echo ready
exec cat >/dev/null
"""

# Runs as the first process of each host. /etc is that copy with a layer of the
# host's own on top, so that a page can say /etc/nftables.conf and mean it.
HOST = r"""
hostname "$1"
own=/run/hosts/$1
mkdir "$own" "$own/etc" "$own/work" "$own/run"
mount -t overlay overlay -o "lowerdir=/run/etc,upperdir=$own/etc,workdir=$own/work" /etc
mount --bind /run/media /media
mount --bind "$own/run" /run
mkdir -p /run/bin /run/home /etc/xen
: > /etc/resolv.conf
printf '%s\n' "$2" > /etc/hosts
# What the machine has there decides on its own names, not on the lab's.
echo 'hosts: files dns' > /etc/nsswitch.conf
cp -r "$3/examples" /run/examples
cd /proc/sys/net
echo 0 > ipv6/conf/default/accept_dad
echo 0 > ipv6/conf/all/accept_dad
echo 0 > ipv6/conf/default/accept_ra
if [ "$4" = node ]; then
  mkdir -p /run/sshd /etc/ssh/sshd_config.d
  ssh-keygen -q -t ed25519 -N '' -C "root@$1" -f /etc/ssh/ssh_host_ed25519_key
  # The kernel's strict reverse path check, so that what gets in gets in despite it.
  echo 1 > ipv4/conf/all/rp_filter
  echo 1 > ipv4/conf/default/rp_filter
fi
if [ "$4" = router ] || [ "$4" = "border firewall" ]; then
  echo 1 > ipv4/ip_forward
  echo 1 > ipv6/conf/all/forwarding
fi
echo $$
exec sleep infinity
"""


class LabError(RuntimeError):
    """The lab could not be built, or something in it did not end in time."""


@functools.cache
def why_not(iptables: str = "iptables-nft", bridge_nf: bool = False) -> str:
    """Why this machine cannot run such a lab, and the command that would help; else an empty string."""
    programs = ("unshare", "nsenter", "ip", "nft", BACK_ENDS[iptables], "ss", "nc", "ssh-keygen")
    missing = [name for name in programs if not shutil.which(name, path=PATH)]
    if missing:
        return f"not installed: {', '.join(missing)}; sudo ./install-packages.sh test"
    for command, help in ((["true"], "run the tests as root"),
                          (["nft", "add", "table", "inet", "t"], "sudo modprobe nf_tables"),
                          ([BACK_ENDS[iptables], "iptables", "-S"], "sudo modprobe -a iptable_filter ip6table_filter")):
        # /run is the lab's own there, too: iptables keeps its lock in it.
        test = subprocess.run([*_unshare(), "env", f"PATH={PATH}", "sh", "-c",
                               'mount -t tmpfs tmpfs /run && exec "$@"', "sh", *command],
                              capture_output=True, text=True)
        if test.returncode:
            return f"{' '.join(command)}: {test.stderr.strip().splitlines()[-1]}; {help}"
    # Not loaded by the tests themselves: it changes how the machine's own bridges are filtered.
    if bridge_nf and not Path("/proc/sys/net/bridge").exists():
        return "the kernel has no br_netfilter; sudo modprobe br_netfilter"
    return ""


def _unshare() -> list[str]:
    """Root needs no user namespace, and could not log in to sshd within one."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]


def _only_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


class Lab:
    """The hosts of one topology; use it as a context manager.

    ``iptables`` chooses the back end behind the command of that name on every
    host, ``bridge_nf`` whether bridged packets pass through iptables
    (``net.bridge.bridge-nf-call-iptables``, and -ip6tables).
    """

    def __init__(self, scenario: str | Topology, iptables: str = "iptables-nft", bridge_nf: bool = False):
        self.topology = topologies.load(scenario) if isinstance(scenario, str) else scenario
        self.iptables = iptables
        self.bridge_nf = bridge_nf
        self.hosts: dict[str, Host] = {}
        self._processes: list[subprocess.Popen] = []

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def __enter__(self) -> Lab:
        try:
            self._start_anchor()
            self._start_hosts()
            self._connect()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process of the lab; the kernel removes the rest."""
        if self._processes:
            self._processes[0].stdin.close()
        for process in self._processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        self._processes.clear()
        for host in self.hosts.values():
            host.forget()

    def enter(self, pid: int) -> list[str]:
        """The command prefix that enters the namespaces of a process of the lab."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(pid), *user, "--pid", "--mount", "--uts", "--net"]

    def _spawn(self, argv: Sequence[str], stdin: int) -> tuple[subprocess.Popen, str]:
        """Start a process of the lab and wait for its first line, which says that it is ready."""
        process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._processes.append(process)
        line = process.stdout.readline().strip()
        if not line:
            raise LabError(f"the lab did not start: {process.stderr.read().strip()}")
        process.stderr.close()
        return process, line

    def _start_anchor(self) -> None:
        process, _ = self._spawn([*_unshare(), "sh", "-ec", ANCHOR], subprocess.PIPE)
        self._anchor = _only_child(process.pid)

    def _start_hosts(self) -> None:
        names = "\n".join(
            ["127.0.0.1 localhost", "::1 localhost"]
            + [f"{address.split('/')[0]} {host.name}"
               for host in self.topology.hosts.values()
               for interface in host.interfaces.values()
               for address in interface.addresses]
        )
        for host in self.topology.hosts.values():
            process, inner = self._spawn(
                [*self.enter(self._anchor), "unshare", "--net", "--mount", "--uts",
                 "sh", "-ec", HOST, "sh", host.name, names, str(PROJECT), host.role],
                subprocess.DEVNULL,
            )
            self.hosts[host.name] = Host(self, host, _only_child(process.pid), int(inner))

    def _connect(self) -> None:
        """Lay the wires, then give each host its addresses and routes."""
        wires = []
        for network in self.topology.networks:
            wires += [f"link add {network} type bridge mcast_snooping 0", f"link set {network} up"]
        pairs = [(host, interface) for host in self.hosts.values()
                 for interface in host.described.interfaces.values()]
        for number, (host, interface) in enumerate(pairs):
            near = interface.uplink or interface.name
            if interface.bridge:
                node = self.hosts[host.described.node]
                wires.append(f"link add name {interface.vif} netns {node.inner_pid} type veth "
                             f"peer name {near} netns {host.inner_pid}")
            else:
                wires += [f"link add name wire{number} type veth peer name {near} netns {host.inner_pid}",
                          f"link set wire{number} master {interface.network} up"]
        self._ip(self._anchor, wires)
        for host in self.hosts.values():
            host.configure()

    def _ip(self, pid: int, commands: list[str]) -> None:
        done = subprocess.run([*self.enter(pid), "ip", "-batch", "-"], input="\n".join(commands) + "\n",
                              capture_output=True, text=True, timeout=HUNG)
        if done.returncode:
            raise LabError(f"{self.topology.name}: ip -batch: {done.stderr.strip()}")


class Host:
    """A host of the lab: it can run a command, listen, and try to connect."""

    def __init__(self, lab: Lab, described: topologies.Host, pid: int, inner_pid: int):
        self.lab = lab
        self.described = described
        self.name = described.name
        self.pid = pid
        self.inner_pid = inner_pid
        self._agent: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._answers: dict[int, Queue[dict]] = {}

    def address(self, version: int = 4, interface: str = "") -> str:
        """An address of this host, as the topology has it."""
        return self.described.address(version, interface)

    def configure(self) -> None:
        """Bring up interfaces, bridges and routes, and lay out the programs of the back end."""
        batch = ["link set lo up"]
        for interface in self.described.interfaces.values():
            if interface.uplink:
                batch += [f"link add {interface.name} type bridge mcast_snooping 0",
                          f"link set {interface.uplink} master {interface.name} up"]
                batch += [f"link set {guest.vif} master {interface.name} up" for guest in self._guests(interface)]
            batch += [f"address add {address} dev {interface.name}" + (" nodad" if ":" in address else "")
                      for address in interface.addresses]
            batch.append(f"link set {interface.name} up")
        batch += [f"route add {route}" for route in self.described.routes]
        self.lab._ip(self.pid, batch)
        flag = int(self.lab.bridge_nf)
        multi = shutil.which(BACK_ENDS[self.lab.iptables], path=PATH)
        self.sh(f"""
            for name in {' '.join(IPTABLES_NAMES)}; do ln -s {multi} /run/bin/$name; done
            ln -s {PROJECT}/tests/lab/xend-command.sh /run/bin/xend
            if [ -e /proc/sys/net/bridge ] || [ {flag} = 1 ]; then
              echo {flag} > /proc/sys/net/bridge/bridge-nf-call-iptables
              echo {flag} > /proc/sys/net/bridge/bridge-nf-call-ip6tables
            fi
        """)

    def _guests(self, bridge: Interface) -> Iterator[Interface]:
        for host in self.lab.topology.hosts.values():
            for interface in host.interfaces.values():
                if host.node == self.name and interface.bridge == bridge.name:
                    yield interface

    @property
    def environment(self) -> dict[str, str]:
        """What a login of root on this host has; nothing of the machine's own environment."""
        return {"PATH": f"/run/bin:{PATH}", "HOME": "/run/home", "LC_ALL": "C.UTF-8", "USER": "root",
                "LAB_PROJECT": str(PROJECT), "LAB_PYTHON": sys.executable}

    def command(self, argv: Sequence[str], directory: str = "/run/examples") -> list[str]:
        """The command line that runs ``argv`` on this host from outside of it."""
        variables = [f"{key}={value}" for key, value in self.environment.items()]
        return [*self.lab.enter(self.pid), "env", "-i", "-C", directory, *variables, *argv]

    def run(self, *argv: str, check: bool = True, input: str | None = None,
            timeout: float = HUNG) -> subprocess.CompletedProcess[str]:
        """Run a command as root in the folder of the examples; its output is captured.

        Raises CalledProcessError with the output in its notes where ``check``
        and the exit status is not 0, TimeoutExpired after ``timeout`` seconds.
        """
        done = subprocess.run(self.command(argv), input=input, stdin=None if input is not None else subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
            error.add_note(f"on {self.name}: {done.stdout}{done.stderr}")
            raise error
        return done

    def sh(self, script: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a POSIX shell script as root; see :meth:`run`."""
        return self.run("sh", "-euc", script, check=check)

    def popen(self, *argv: str, **options) -> subprocess.Popen:
        """Start a command that goes on; the lab's end is its end."""
        return subprocess.Popen(self.command(argv), text=True, **options)

    def ask(self, **request) -> dict:
        """Have the host's agent do something; see ``tests/lab/agent.py``.

        Threads may ask at the same time. Raises LabError with what went wrong.
        """
        answer: Queue[dict] = Queue()
        with self._lock:
            if self._agent is None:
                self._agent = self.popen("python3", str(PROJECT / "tests/lab/agent.py"),
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                threading.Thread(target=self._read_answers, args=(self._agent.stdout,), daemon=True).start()
            number = next(self._numbers)
            self._answers[number] = answer
            self._agent.stdin.write(json.dumps(request | {"id": number}) + "\n")
            self._agent.stdin.flush()
        try:
            said = answer.get(timeout=HUNG)
        except Empty:
            said = {"error": f"no answer in {HUNG} s"}
        if "error" in said:
            raise LabError(f"{self.name}: {request}: {said['error']}")
        return said

    def _read_answers(self, lines: IO[str]) -> None:
        for line in lines:
            said = json.loads(line)
            self._answers.pop(said["id"]).put(said)
        for answer in self._answers.values():
            answer.put({"error": "the agent is gone"})

    def forget(self) -> None:
        """Let go of the agent; its process ends with the lab."""
        if self._agent:
            self._agent.kill()
            self._agent.wait()
            self._agent.stdin.close()

    def probe(self, address: str, port: int, source: str = "") -> str:
        """Try to connect by TCP: ``open``, ``refused`` or ``filtered`` (no answer in 2 s)."""
        return self.ask(do="probe", address=address, port=port, source=source)["verdict"]

    def relocate(self, address: str, port: int = 8002, source: str = "", tls: bool = False) -> str:
        """Ask xend to receive a guest: ``ready``, ``rejected``, or what :meth:`probe` says."""
        return self.ask(do="relocate", address=address, port=port, source=source, tls=tls)["verdict"]

    def listen(self, port: int, address: str = "::") -> None:
        """Listen on a TCP port (``::`` is every address, IPv4 too) and echo what comes in."""
        self.ask(do="listen", address=address, port=port)

    def link_local(self, interface: str) -> str:
        """The IPv6 link-local address of an interface of this host."""
        shown = json.loads(self.run("ip", "-j", "address", "show", "dev", interface).stdout)
        return next(address["local"] for link in shown for address in link.get("addr_info", ())
                    if address["family"] == "inet6" and address["scope"] == "link")

    def mac(self, interface: str) -> str:
        """The Ethernet address of an interface of this host."""
        return json.loads(self.run("ip", "-j", "link", "show", "dev", interface).stdout)[0]["address"]

    def half_open(self, port: int, peer: str) -> bool:
        """Whether a SYN from ``peer`` has come to a listening port and been answered."""
        return bool(self.run("ss", "-Htn", "state", "syn-recv", f"sport = :{port} and dst [{peer}]").stdout)

    @contextmanager
    def hammering(self, address: str, port: int) -> Iterator[dict]:
        """Connect without pause meanwhile; then the yielded dict has ``tries`` and ``open``."""
        result: dict = {}
        self.ask(do="hammer", address=address, port=port)
        try:
            yield result
        finally:
            result.update(self.ask(do="hammered"))

    def rules(self) -> str:
        """Every packet filter rule of the host, as text to compare with.

        Counters are left out, and so are the empty tables and chains that
        iptables makes for itself and leaves behind.
        """
        text = self.sh("""
            nft -s list ruleset
            for family in iptables ip6tables; do
              if command -v $family-legacy-save >/dev/null; then $family-legacy-save; fi
            done
        """).stdout
        return _without_empty_tables(text)


def _without_empty_tables(text: str) -> str:
    """Drop what is no rule: comments, and iptables' own chains where they hold nothing but "accept".

    What is left is sorted, since tables and chains are listed in the order of
    their making, which means nothing.
    """
    # A policy's line has its counters, asked for or not.
    lines = [re.sub(r"^(:\S+ \S+) \[.*\]$", r"\1", line) for line in text.splitlines()
             if line and not line.startswith(("#", "*")) and line != "COMMIT"
             and not re.match(r":[A-Z]+ ACCEPT ", line)]
    # A table is listed down to its closing brace; the legacy back ends' lines stand by themselves.
    tables = re.split(r"(?<=\n\})\n", "\n".join(lines))
    return "\n".join(sorted(filter(None, map(_without_empty_chains, tables))))


def _without_empty_chains(table: str) -> str:
    head, *chains = re.split(r"\n(?=\tchain )", table.removesuffix("\n}"))
    if re.match(r"table ip6? (filter|raw|mangle|nat|security) \{", head):
        empty = r"\tchain (INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING) \{\n\t\ttype .* policy accept;\n\t\}"
        chains = [chain for chain in chains if not re.fullmatch(empty, chain)]
        if not chains:
            return ""
    return "\n".join([head, *sorted(chains)])
