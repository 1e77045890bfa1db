# SPDX-License-Identifier: MIT
"""The lab of one topology whose nodes boot as Debian does, and can be rebooted: see ``disk.py``.

A node here has no network until its first reboot, and no rules: time to keep some, as a reader does.
"""
from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.lab import topology
from tests.lab.hypervisor import cluster, disk
from tests.lab.hypervisor.cluster import Keys, archive
from tests.lab.hypervisor.qemu import CARDS, Machine
from tests.lab.namespaces import PROJECT

#: Runs on a node that has just been restored: what is the same on all of them until then.
CONFIGURE = """
tar --extract --directory / --no-same-owner
hostname "$1"
date --set="@$2" >/dev/null
cat /lab/seed >/dev/urandom
"""


class Kept(cluster.Kept):
    """The image of a node with a disk, the state of one that was booted from it, and the disk as it was then."""

    take, kind = staticmethod(disk.take), "disk-state"


class Cluster(cluster.Cluster):
    """The hosts of one topology, its nodes on Xen and with systemd; use it as a context manager."""

    kind = Kept

    def _node(self, described: topology.Host, machine: Machine) -> Node:
        return Node(self, described, machine)

    def reboot(self) -> None:
        """Have all nodes reboot at the same time; returns when systemd says of each that it is up."""
        self.all(Node.reboot)

    def all(self, work: Callable[[Node], object]) -> None:
        """Do something with all nodes at the same time."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(work, (self[node.name] for node in self.nodes)))


class Node(cluster.Node):
    """A node with systemd and with a disk."""

    agent = "/lab/agent.py"
    examples = "/root/examples"

    def bring_up(self, number: int, keys: Keys) -> None:
        """Restore the node and write down what the topology says, for its next boot. Until then all nodes of a saved
        state have the same Ethernet addresses."""
        self.machine.start(self.lab.kept[self.name].state)
        files = {
            f"etc/systemd/network/10-{card}.link":
            f"[Match]\nOriginalName={card}\n[Link]\nMACAddress={self.mac_of(number, card)}\n" for card in CARDS} | {
            "etc/hostname": f"{self.name}\n",
            "etc/hosts": self.lab.addresses() + "\n",
            "etc/network/interfaces": self._interfaces(),
            "lab/agent.py": (PROJECT / "tests/lab/agent.py").read_text(encoding="utf-8"),
            "lab/seed": os.urandom(64).hex(),
            "etc/ssh/ssh_host_ed25519_key": keys.host[self.name][0],
            "etc/ssh/ssh_host_ed25519_key.pub": keys.host[self.name][1]}
        self._serial_run(["sh", "-euc", CONFIGURE, "sh", self.name, f"{time.time():.3f}"],
                         archive(files, self.examples))

    def _interfaces(self) -> str:
        """What ifupdown reads. As Debian's installer has it, a card comes up when it is found, and the rest at boot."""
        lines = ["auto lo", "iface lo inet loopback"]
        for interface in self.described.interfaces.values():
            lines.append(f"{'auto' if interface.uplink else 'allow-hotplug'} {interface.name}")
            for address in interface.addresses:
                lines += [f"iface {interface.name} {'inet6' if ':' in address else 'inet'} static",
                          f"    address {address}"]
                if interface.uplink:
                    lines += [f"    bridge_ports {interface.uplink}", f"    bridge_hw {interface.uplink}",
                              "    bridge_stp off", "    bridge_fd 0"]
                lines += [f"    up ip route add {route}" for route in self.described.routes
                          if (":" in route) == (":" in address) and interface is self._first()]
        return "\n".join([*lines, ""])

    def _first(self) -> topology.Interface:
        return next(iter(self.described.interfaces.values()))

    def go_down(self) -> None:
        """Reboot it by its own command; returns when it has gone down."""
        self.machine.go_down(lambda: self.popen("systemctl", "reboot"))

    def reboot(self) -> None:
        """Reboot it by its own command; returns when systemd says that it is up."""
        self.go_down()
        self.machine.start()
        self._agent = None
        self.run("systemctl", "is-system-running", "--wait", check=False, timeout=300)

    def times(self, event: str, *units: str) -> list[int]:
        """When systemd last saw an event of units (``ActiveEnter``, ``InactiveExit``), in microseconds since the start
        of the kernel; 0 for never."""
        said = self.run("systemctl", "show", f"--property={event}TimestampMonotonic", "--value", *units).stdout
        return [int(line) for line in said.split()]
