# SPDX-License-Identifier: MIT
"""libvirt on a node of the Xen lab: its daemon, and a guest that it has in its care."""
from __future__ import annotations

import subprocess
import uuid
from dataclasses import dataclass

from tests.lab.hypervisor.guest import MIGRATION, Guest
from tests.lab.namespaces import Host


def start(*nodes: Host, options: str = "") -> None:
    """Start libvirt's daemon; returns when it answers."""
    for node in nodes:
        node.run("sh", "-c", f"libvirtd --daemon {options}")
    for node in nodes:
        node.run("virsh", "list")


def restart(*nodes: Host, options: str = "") -> None:
    """End the daemon, where it has not ended itself, and start it again; its guests run on."""
    for node in nodes:
        node.sh("""
            pid=$(cat /run/libvirtd.pid)
            kill "$pid" 2>/dev/null || true
            while [ -e "/proc/$pid" ]; do sleep 0.1; done
            rm -f /run/libvirtd.pid
        """)
    start(*nodes, options=options)


@dataclass(frozen=True)
class Domain(Guest):
    """A guest that counts, in libvirt's care."""

    @property
    def configuration(self) -> str:
        """What libvirt has to know about it."""
        return (f"<domain type='xen'>\n  <name>{self.name}</name>\n"
                f"  <uuid>{uuid.uuid5(uuid.NAMESPACE_DNS, self.name)}</uuid>\n  <memory unit='MiB'>8</memory>\n"
                f"  <vcpu>1</vcpu>\n  <os>\n    <type arch='x86_64' machine='xen{self.kind}'>xen{self.kind}</type>\n"
                f"    <kernel>/lab/guest-{self.kind}</kernel>\n  </os>\n  <on_crash>preserve</on_crash>\n</domain>\n")

    def create(self, node: Host) -> None:
        """Start it on a node, and wait until it counts."""
        node.run("tee", f"/etc/xen/{self.name}.xml", input=self.configuration)
        node.run("virsh", "create", f"/etc/xen/{self.name}.xml")
        self.next_line(node)

    def migrate(self, node: Host, uri: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Have a node send it to another's libvirt; whether that worked, the caller sees."""
        return node.run("virsh", "migrate", "--live", *options, self.name, uri, check=False, timeout=MIGRATION)

    def listed(self, node: Host) -> bool:
        """Whether the node's Xen has it and its libvirt knows so."""
        known = node.run("virsh", "domstate", self.name, check=False).stdout.strip() == "running"
        assert known == super().listed(node), f"libvirt on {node.name} has another idea of {self.name} than xl"
        return known
