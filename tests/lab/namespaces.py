# SPDX-License-Identifier: MIT
"""The lab on network namespaces: a scenario's hosts, on the kernel's own packet filter.

One *anchor* process (``anchor.py``) owns a process, mount and network namespace
(and, without root, a user namespace). It lives as long as the pipe that the
tests hold: when they end, however they end, the kernel takes every process,
interface and rule of the lab with it. Each host is a network, mount and host
name namespace below the anchor; the networks between them are bridges in the
anchor's namespace.
What is the same for every lab, such as a copy of /etc, is laid out once, in the
mount namespace of a *template* process, which lives just as long.
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
import tempfile
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
#: Where the programs of the machine are, for whoever runs the tests.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Seconds after which anything in the lab counts as hung.
HUNG = 60

# Runs as the template. The copy of /etc belongs to the labs' root, who may therefore change it; what only the machine's
# root may read (its keys) stays out.
TEMPLATE = r"""
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/etc /mnt/run/home
cp -r /etc/. /mnt/etc/ 2>/dev/null || true
cp -r "$1/examples" /mnt/run/examples
# Compiled once, and not at the start of each.
for program in agent anchor; do
  python3 -ISc 'import py_compile, sys; py_compile.compile(*sys.argv[1:], doraise=True)' \
    "$1/tests/lab/$program.py" "/mnt/run/$program.pyc"
done
cd /mnt/etc
# ssh refuses settings of an owner whom it does not know: without root, the machine's root.
rm -rf ssh/ssh_config.d/* ssh/ssh_host_* ssh/sshd_config.d/* shadow* resolv.conf wireguard
mkdir -m 700 wireguard
mkdir -p /mnt/keys/none /mnt/keys/node-a/ssh /mnt/keys/node-b/ssh
for name in node-a node-b; do
  ssh-keygen -q -t ed25519 -N '' -C "root@$name" -f "/mnt/keys/$name/ssh/ssh_host_ed25519_key"
done
mkdir -p xen ssh/sshd_config.d /mnt/run/sshd
: > resolv.conf
# What the machine has there decides on its own names, not on the lab's.
echo 'hosts: files dns' > nsswitch.conf
for multi in xtables-nft-multi xtables-legacy-multi; do
  mkdir -p "/mnt/$multi/bin"
  cd "/mnt/$multi/bin"
  ln -s "$1/tests/lab/xend-command.sh" xend
  if program=$(command -v "$multi"); then
    for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
      ln -s "$program" "$name"
    done
  fi
done
mount -o remount,bind,ro /mnt
echo ready
exec cat >/dev/null
"""

#: Mounts what the hosts have as /etc and /run.
OVERLAY = ["sh", "-ec", "mkdir /run/upper /run/work; "
           "mount -t overlay overlay -o lowerdir=/run,upperdir=/run/upper,workdir=/run/work /media"]


class LabError(RuntimeError):
    """The lab could not be built, or something in it did not end in time."""


@functools.cache
def why_not(iptables: str = "iptables-nft", bridge_nf: bool = False) -> str:
    """Why this machine cannot run such a lab, and the command that would help; else an empty string."""
    programs = ("unshare", "nsenter", "ip", "nft", BACK_ENDS[iptables], "ss", "nc", "ssh-keygen")
    missing = [name for name in programs if not shutil.which(name, path=PATH)]
    if missing:
        return f"not installed: {', '.join(missing)}; sudo ./install-packages.sh test"
    for command, help in ((["true"], "run the tests as root: sudo make test"),
                          (OVERLAY, "sudo modprobe overlay, and without root a kernel of 5.11 or newer"),
                          (["ip", "-6", "address", "add", "::2", "dev", "lo"],
                           "start the kernel without ipv6.disable=1, and load the module ipv6"),
                          (["nft", "add", "table", "inet", "t"], "sudo modprobe nf_tables"),
                          ([BACK_ENDS[iptables], "iptables", "-S"], "sudo modprobe -a iptable_filter ip6table_filter")):
        # /run is the lab's own there, too: iptables keeps its lock in it.
        test = subprocess.run([*unshare(), "--net", "env", f"PATH={PATH}", "sh", "-c",
                               'mount -t tmpfs tmpfs /run && exec "$@"', "sh", *command],
                              capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"})
        if test.returncode:
            said = test.stderr.strip() or f"exit status {test.returncode}"
            return f"{' '.join(command)}: {said.splitlines()[-1]}; {help}"
    # Not loaded by the tests themselves: it changes how the machine's own bridges are filtered.
    if bridge_nf and not Path("/proc/sys/net/bridge").exists():
        return "the kernel has no br_netfilter; sudo modprobe br_netfilter"
    return ""


def unshare() -> list[str]:
    """Root needs no user namespace, and could not log in to sshd within one."""
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]


def enter(pid: int, *namespaces: str) -> list[str]:
    """The command prefix that enters namespaces of a process, and its user namespace where it has one."""
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", "--target", str(pid), *user, "--mount", *namespaces]


def _start(command: list[str], parts: int) -> subprocess.Popen:
    """Run a script that goes on until its standard input ends, and wait until as many parts of it are ready.

    Raises LabError with what the script said where a part is not.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=os.environ | {"PATH": PATH}, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=errors, text=True)
        if all(process.stdout.readline() == "ready\n" for _ in range(parts)):
            return process
        _end(process)
        errors.seek(0)
        raise LabError(f"the lab did not start: {errors.read().strip()}")


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


@functools.cache
def _template() -> subprocess.Popen:
    """The template of all labs of this process."""
    return _start([*unshare(), "sh", "-ec", TEMPLATE, "sh", str(PROJECT)], parts=1)


def _children(pid: int) -> list[int]:
    """The processes that a process has started and that still run, in this order."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


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
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process of the lab; the kernel removes the rest."""
        for process in self._processes:
            _end(process)
        self._processes.clear()
        for host in self.hosts.values():
            host.forget()

    def _start(self) -> None:
        hosts = self.namespaced()
        process = _start(
            [*enter(_template().pid), "unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child",
             "--mount-proc", "python3", "-IS", "/mnt/run/anchor.pyc", self.wires(),
             *(word for host in hosts for word in (host.name, host.role, BACK_ENDS[self.iptables],
                                                   str(int(self.bridge_nf)), self.addresses(), self.settings(host)))],
            parts=len(hosts))
        self._processes.append(process)
        self.anchor, = _children(process.pid)
        self.hosts = {host.name: Host(self, host, pid) for host, pid in zip(hosts, _children(self.anchor))}

    def namespaced(self) -> list[topologies.Host]:
        """The hosts that are network namespaces: here, all of them."""
        return list(self.topology.hosts.values())

    def addresses(self) -> str:
        """What every host has as /etc/hosts."""
        return "\n".join(
            ["127.0.0.1 localhost", "::1 localhost"]
            + [f"{address.split('/')[0]} {host.name}" for host in self.topology.hosts.values()
               for interface in host.interfaces.values() for address in interface.addresses])

    def wires(self) -> str:
        """The batch for ip that makes the hosts' network namespaces and the wires between them."""
        batch = [f"netns add {host.name}" for host in self.namespaced()]
        for network in self.topology.networks:
            batch += [f"link add {network} type bridge mcast_snooping 0", f"link set {network} up"]
        pairs = [(host, interface) for host in self.namespaced() for interface in host.interfaces.values()]
        for number, (host, interface) in enumerate(pairs):
            near = f"{interface.uplink or interface.name} netns {host.name}"
            if interface.bridge:
                batch.append(f"link add {interface.vif} netns {host.node} type veth peer name {near}")
            else:
                batch += [f"link add wire{number} type veth peer name {near}",
                          f"link set wire{number} master {interface.network} up"]
        return "\n".join(batch)

    def settings(self, host: topologies.Host) -> str:
        """The batch for ip that gives a host its bridges, addresses and routes."""
        batch = ["link set lo up"]
        for interface in host.interfaces.values():
            if interface.uplink:
                # The bridge comes up before its ports: so the kernel sees at once, not within a second, when they do.
                batch += [f"link add {interface.name} type bridge mcast_snooping 0", f"link set {interface.name} up",
                          f"link set {interface.uplink} master {interface.name} up"]
                batch += [f"link set {vif} master {interface.name} up" for vif in self._vifs(host, interface)]
            batch += [f"address add {address} dev {interface.name}" for address in interface.addresses]
            batch.append(f"link set {interface.name} up")
        return "\n".join(batch + [f"route add {route}" for route in host.routes])

    def _vifs(self, node: topologies.Host, bridge: Interface) -> Iterator[str]:
        for host in self.namespaced():
            for interface in host.interfaces.values():
                if host.node == node.name and interface.bridge == bridge.name:
                    yield interface.vif


class Host:
    """A host of the lab: it can run a command, listen, and try to connect."""

    #: The program that does what :meth:`ask` asks, as this host sees it.
    agent = "/run/agent.pyc"

    def __init__(self, lab: Lab, described: topologies.Host, pid: int):
        self.lab = lab
        self.described = described
        self.name = described.name
        self.pid = pid
        self._agent: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._answers: dict[int, Queue[dict]] = {}

    def address(self, version: int = 4, interface: str = "") -> str:
        """An address of this host, as the topology has it."""
        return self.described.address(version, interface)

    @property
    def environment(self) -> dict[str, str]:
        """What a login of root on this host has; nothing of the machine's own environment."""
        return {"PATH": f"/run/bin:{PATH}", "HOME": "/run/home", "LC_ALL": "C.UTF-8", "USER": "root",
                "LAB_PROJECT": str(PROJECT), "LAB_PYTHON": sys.executable}

    def command(self, argv: Sequence[str], directory: str = "/run/examples") -> list[str]:
        """The command line that runs ``argv`` on this host from outside of it."""
        variables = [f"{key}={value}" for key, value in self.environment.items()]
        return [*enter(self.pid, "--pid", "--uts", "--net"), "env", "-i", "-C", directory, *variables, *argv]

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
                self._agent = self.popen("python3", "-IS", self.agent, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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

    def probe(self, address: str, port: int, source: str = "", source_port: int = 0) -> str:
        """Try to connect by TCP: ``open``, ``refused`` or ``filtered`` (no answer in 2 s)."""
        return self.ask(do="probe", address=address, port=port, source=source, source_port=source_port)["verdict"]

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

    def tcp_listeners(self) -> list[str]:
        """The TCP sockets that listen on this host, as ADDRESS:PORT."""
        return self.ask(do="tcp_listeners")["sockets"]

    def half_open(self, port: int, peer: str) -> bool:
        """Whether a SYN from ``peer`` has come to a listening port and been answered."""
        return bool(self.run("ss", "-Htn", "state", "syn-recv", f"sport = :{port} and dst [{peer}]").stdout)

    @contextmanager
    def hammering(self, address: str, port: int, pause: float = 0.0004) -> Iterator[dict]:
        """Connect again and again meanwhile; then the yielded dict has ``tries`` and ``open``.

        Four threads do, each with a pause of that many seconds. Between two commits by two programs there are
        milliseconds: ten thousand tries a second miss none, and leave the core to what applies the rules.
        """
        result: dict = {}
        self.ask(do="hammer", address=address, port=port, pause=pause)
        try:
            yield result
        finally:
            result.update(self.ask(do="hammered", address=address, port=port))

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
