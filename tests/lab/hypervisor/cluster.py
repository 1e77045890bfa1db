# SPDX-License-Identifier: MIT
"""The lab of one topology whose nodes are real Xen hosts; all its other hosts are network namespaces, as elsewhere."""
from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import namespaces, topology
from tests.lab.hypervisor import cache, guest, image, libvirt, qemu
from tests.lab.hypervisor.cache import CacheError
from tests.lab.hypervisor.packages import KEYRING, RELEASES, run
from tests.lab.hypervisor.qemu import CARDS, Machine
from tests.lab.hypervisor.serial import Process
from tests.lab.namespaces import HUNG, PROJECT, Host, Lab, enter
from tests.lab.topology import Topology, TopologyError

#: What builds and runs nodes, and the packages that bring it.
PROGRAMS = (qemu.PROGRAM, "mmdebstrap", "cpio", "depmod", "mke2fs", "gcc", "zstd", "apt-get", "dpkg-deb", "ssh-keygen",
            "tcpdump")

# Runs on a node that has just been started, in the place of what systemd and ifupdown do.
CONFIGURE = r"""
name=$1 now=$2 unused=$3
hostname "$name"
date --set="@$now" >/dev/null
cd /proc/sys/net
echo 0 > ipv6/conf/default/accept_dad
echo 0 > ipv6/conf/all/accept_dad
echo 0 > ipv6/conf/default/accept_ra
echo 1 > ipv4/conf/all/rp_filter
echo 1 > ipv4/conf/default/rp_filter
tar --extract --directory / --no-same-owner
# Two nodes come out of one saved state: without this they would draw the same random numbers.
cat /run/seed > /dev/urandom
for card in $unused; do
  device=$(readlink -f "/sys/class/net/$card/device")
  echo "${device##*/}" > "$device/driver/unbind"
done
ip -batch /run/settings
/usr/sbin/sshd
"""

#: The network in which a node is booted once, to be saved.
NOWHERE = """
title = "where a node is booted once"
[networks.wire]
title = "wire"
prefixes = ["203.0.113.0/24"]
[hosts.other]
role = "outsider"
[hosts.other.interfaces.eth0]
network = "wire"
addresses = ["203.0.113.66/24"]
"""


def why_not(nodes: int = 2) -> str:
    """Why this machine cannot run so many nodes, and what would help; else an empty string."""
    if os.geteuid() != 0:
        return "the Xen lab needs root: sudo make test-xen"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=namespaces.PATH)]
    if not KEYRING.exists():
        missing.append(KEYRING.name)
    if missing:
        return f"not installed: {', '.join(missing)}; sudo ./install-packages.sh xen"
    if reason := namespaces.why_not():
        return reason
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun; sudo modprobe tun"
    if (left := qemu.memory_available()) < nodes * qemu.TAKES:
        return f"{nodes} nodes take {nodes * qemu.TAKES} MB of memory, and {left} MB are available"
    return ""


class Kept:
    """The image of a version of Xen, and the state of a node that was booted from it."""

    #: What makes the image, and the kind of the saved states in the cache.
    take, kind = staticmethod(image.take), "state"

    def __init__(self, xen: str, say: Callable[[str], None] = lambda line: None):
        self.release = RELEASES[xen]
        self.image = self.take(self.release, say)
        self._say = say
        self.state = cache.take(f"{self.kind}-{xen}", cache.key_of(self.image.name, qemu.version(),
                                                             *qemu.arguments(self.image)), self._boot, say) / "state"

    @property
    def disk(self) -> Path | None:
        """The disk that belongs to the saved state, where a node has one."""
        disk = self.state.with_name("disk")
        return disk if disk.exists() else None

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the packages that the image is made of, by name."""
        return cache.about(self.image)["versions"]

    def _boot(self, new: Path) -> dict:
        self._say(f"booting {self.release.name} with Xen {self.release.xen}, to be saved")
        start = time.monotonic()
        with Lab(topology.parse(NOWHERE, "nowhere")) as lab:
            disk = self.image / "disk"
            node = machine(lab, "node", 0, self.image, {}, disk if disk.exists() else None)
            try:
                node.start()
                booted = time.monotonic() - start
                # xenstored and Domain-0's entry in it come up in their own time.
                while "Domain-0" not in (said := _xl_list(node)):
                    if time.monotonic() - start > qemu.BOOT:
                        raise CacheError(f"a node of {self.release.name} has no Domain-0: xl list says {said!r}")
                node.save(new / "state")
                if node.disk.exists():
                    copy(node.disk, new / "disk")
            finally:
                node.stop()
        return {"seconds": booted}


#: What this process has taken: the mirror is asked, and the files are looked through, once a run.
_TAKEN: dict[tuple[type[Kept], str], Kept] = {}


def kept(xen: str, say: Callable[[str], None], kind: type[Kept] = Kept) -> Kept:
    """The image and the saved state of a version of Xen, made first where they are not kept. Raises CacheError."""
    if (kind, xen) not in _TAKEN:
        _TAKEN[kind, xen] = kind(xen, say)
    return _TAKEN[kind, xen]


def _xl_list(node: Machine) -> str:
    process = node.serial.start(["xl", "list"], {"PATH": namespaces.PATH}, "/", stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
    return process.communicate(timeout=HUNG)[0]


def machine(lab: Lab, name: str, number: int, image: Path, networks: Mapping[str, str],
            disk: Path | None = None) -> Machine:
    """A node in the namespaces of a lab, with its cards on these networks, and a copy of that disk."""
    folder = "/run/nodes"
    taps = {card: f"tap{number}-{card}" for card in CARDS}
    batch = "\n".join(
        [f"tuntap add {tap} mode tap" for tap in taps.values()]
        + [f"link set {taps[card]} master {network}" for card, network in networks.items()]
        + [f"link set {tap} up" for tap in taps.values()])
    inside = [*enter(lab.anchor, "--pid", "--net"), "env", f"PATH={namespaces.PATH}"]
    subprocess.run([*inside, "sh", "-ec", f'mkdir -p {folder}; printf "%s\\n" "$1" | ip -batch -', "sh", batch],
                   check=True, capture_output=True)
    node = Machine(name, image, inside, folder, Path(f"/proc/{lab.anchor}/root{folder}"), taps)
    if disk:
        copy(disk, node.disk)
    return node


def copy(disk: Path, to: Path) -> None:
    """Copy a disk without the room that it has left."""
    run(["cp", "--sparse=always", disk, to])


class Cluster(Lab):
    """The hosts of one topology, its nodes on Xen; use it as a context manager.

    ``xen`` is the version of all nodes, or that of each by its name. ``fresh`` nodes are restored from the state of
    one that was booted and never used; with ``cold`` they boot. A guest of the topology is no host here: its node has
    a configuration for it, of a guest without a network that counts: ``/etc/xen/GUEST.cfg``, and ``GUEST.xml`` for
    libvirt.
    """

    #: What is kept of a version for its nodes.
    kind = Kept

    def __init__(self, scenario: str | Topology, xen: str | Mapping[str, str], iptables: str = "iptables-nft",
                 cold: bool = False, say: Callable[[str], None] = lambda line: None):
        super().__init__(scenario, iptables)
        self.cold = cold
        self.nodes = [host for host in self.topology.hosts.values() if host.role == "node"]
        for node in self.nodes:
            cards = [interface.uplink or interface.name for interface in node.interfaces.values()]
            if not set(cards) <= set(CARDS):
                raise TopologyError(f"{self.topology.name}: {node.name}: a node of the Xen lab has the cards "
                                    f"{' and '.join(CARDS)}, not {', '.join(cards)}")
        versions = {node.name: xen if isinstance(xen, str) else xen[node.name] for node in self.nodes}
        self.kept = {name: kept(version, say, self.kind) for name, version in versions.items()}
        #: Seconds from the start of the nodes until they were what the topology says.
        self.seconds = 0.0

    def namespaced(self) -> list[topology.Host]:
        """The hosts that are network namespaces: all but the nodes, and the guests on these."""
        return [host for host in self.topology.hosts.values() if host.role not in ("node", "guest")]

    def _start(self) -> None:
        super()._start()
        start = time.monotonic()
        keys = Keys([node.name for node in self.nodes])
        machines = [machine(self, node.name, number, self.kept[node.name].image,
                            {interface.uplink or interface.name: interface.network
                             for interface in node.interfaces.values()}, self.kept[node.name].disk)
                    for number, node in enumerate(self.nodes)]
        nodes = [self._node(node, machine) for node, machine in zip(self.nodes, machines)]
        self.hosts = {node.name: node for node in nodes} | self.hosts
        with ThreadPoolExecutor(max_workers=len(nodes) or 1) as pool:
            list(pool.map(lambda pair: pair[1].bring_up(pair[0], keys), enumerate(nodes)))
        self.seconds = time.monotonic() - start

    def _node(self, described: topology.Host, machine: Machine) -> Node:
        return Node(self, described, machine)

    def stop(self) -> None:
        """End the nodes, then everything else."""
        for host in self.hosts.values():
            if isinstance(host, Node):
                host.machine.stop()
        super().stop()

    def consoles(self) -> str:
        """What Xen, Domain-0's kernel and the guests have printed on all nodes."""
        return "\n".join(f"--- console of {host.name}\n{host.machine.console()}\n--- guests of {host.name}\n"
                         f"{host.guests()}" for host in self.hosts.values() if isinstance(host, Node))


class Keys:
    """The nodes' host keys, known to each other, and a key of root on each that the others admit."""

    def __init__(self, names: Sequence[str]):
        with tempfile.TemporaryDirectory() as scratch:
            self.host = {name: self._make(Path(scratch, f"{name}.host"), f"root@{name}") for name in names}
            self.root = {name: self._make(Path(scratch, f"{name}.root"), f"root@{name}") for name in names}

    @staticmethod
    def _make(path: Path, comment: str) -> tuple[str, str]:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path], check=True)
        return path.read_text(), path.with_name(path.name + ".pub").read_text()


class Node(Host):
    """A node of the lab that is a real Xen host; see :class:`tests.lab.namespaces.Host`."""

    agent = "/run/lab/agent.py"
    #: Where it has the examples.
    examples = "/run/examples"

    def __init__(self, lab: Cluster, described: topology.Host, machine: Machine):
        super().__init__(lab, described, pid=0)
        self.machine = machine

    @property
    def environment(self) -> dict[str, str]:
        """What a login of root on this node has."""
        return {"PATH": f"/run/bin:{namespaces.PATH}", "HOME": "/root", "LC_ALL": "C.UTF-8", "USER": "root"}

    def bring_up(self, number: int, keys: Keys) -> None:
        """Start the node and make it what the topology says."""
        kept = self.lab.kept[self.name]
        self.machine.start(None if self.lab.cold else kept.state)
        cards = {interface.uplink or interface.name for interface in self.described.interfaces.values()}
        unused = [card for card in CARDS if card not in cards]
        # All nodes of a saved state have the same Ethernet addresses.
        settings = [f"link set {card} address {self.mac_of(number, card)}" for card in CARDS if card in cards]
        files: dict[str, str | bytes] = {f"lab/guest-{kind}": program for kind, program in guest.programs().items()} | {
            "etc/hostname": f"{self.name}\n",
            "etc/hosts": self.lab.addresses() + "\n",
            "run/seed": os.urandom(64).hex(),
            "run/settings": "\n".join(settings + [self.lab.settings(self.described), ""]),
            "run/lab/agent.py": (PROJECT / "tests/lab/agent.py").read_text(encoding="utf-8"),
            "etc/ssh/ssh_host_ed25519_key": keys.host[self.name][0],
            "etc/ssh/ssh_host_ed25519_key.pub": keys.host[self.name][1],
            "root/.ssh/id_ed25519": keys.root[self.name][0],
            "root/.ssh/authorized_keys": "".join(public for _, public in keys.root.values()),
            "root/.ssh/known_hosts": "".join(
                f"{','.join([name, *self._addresses(name)])} {public}" for name, (_, public) in keys.host.items())}
        for name, program in zip(("iptables", "ip6tables"), ("iptables", "ip6tables")):
            for suffix in ("", "-save", "-restore"):
                kind = self.lab.iptables.partition("-")[2]
                files[f"run/bin/{name}{suffix}"] = f"#!/bin/sh\nexec {program}-{kind}{suffix} \"$@\"\n"
        for host in self.lab.topology.hosts.values():
            if host.node == self.name:
                files[f"etc/xen/{host.name}.cfg"] = guest.Guest(host.name).configuration
                files[f"etc/xen/{host.name}.xml"] = libvirt.Domain(host.name).configuration
        self._serial_run(["sh", "-euc", CONFIGURE, "sh", self.name, f"{time.time():.3f}", " ".join(unused)],
                         archive(files, self.examples))

    @staticmethod
    def mac_of(number: int, card: str) -> str:
        """The Ethernet address of a card of the node with that number."""
        return f"52:54:00:00:{number:02x}:{CARDS.index(card):02x}"

    def forget(self) -> None:
        """Nothing: the agent ends with the node."""

    def _addresses(self, name: str) -> list[str]:
        return [address.split("/")[0] for interface in self.lab.topology.hosts[name].interfaces.values()
                for address in interface.addresses]

    def _serial_run(self, argv: Sequence[str], data: bytes) -> None:
        """Run a command before there is anything on the node, with bytes for its input."""
        process = self.machine.serial.start(argv, self.environment, "/", subprocess.PIPE, subprocess.PIPE,
                                            subprocess.STDOUT)
        process.stdin.buffer.write(data)
        said, _ = process.communicate(timeout=HUNG)
        if process.returncode:
            raise namespaces.LabError(f"{self.name} could not be made what the topology says: {said}")

    def guests(self) -> str:
        """The guests and the end of what each has printed, or why nobody knows."""
        try:
            return self.run("sh", "-c", "xl list 2>&1; tail -n 20 /var/log/xen/console/* 2>&1; true", timeout=20).stdout
        except (OSError, RuntimeError, AttributeError, subprocess.SubprocessError) as error:
            return f"({error})"

    def popen(self, *argv: str, **options) -> Process:
        """Start a command that goes on; the lab's end is its end."""
        return self.machine.serial.start(argv, self.environment, self.examples, **options)

    def run(self, *argv: str, check: bool = True, input: str | None = None,
            timeout: float = HUNG) -> subprocess.CompletedProcess[str]:
        """Run a command as root in the folder of the examples; see :meth:`Host.run`."""
        process = self.popen(*argv, stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        done = subprocess.CompletedProcess(argv, process.returncode, out, err)
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
            error.add_note(f"on {self.name}: {done.stdout}{done.stderr}")
            raise error
        return done


def archive(files: Mapping[str, str | bytes], examples: str) -> bytes:
    """A tar archive of these files and of the examples; only root may read the keys."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.mode = 0o755 if path.startswith("run/bin/") else 0o600 if "ssh" in path else 0o644
            data = content.encode() if isinstance(content, str) else content
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        tar.add(PROJECT / "examples", examples.lstrip("/"))
    return archive.getvalue()
