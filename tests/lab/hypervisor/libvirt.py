# SPDX-License-Identifier: MIT
"""libvirt on a node of the Xen lab: what the image has of it, its daemon, and a guest that it has in its care."""
from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.lab.hypervisor.guest import MIGRATION, Guest
from tests.lab.hypervisor.packages import run
from tests.lab.namespaces import Host

#: The daemon with its driver for Xen and virsh, and what makes certificates.
PACKAGES = ("libvirt-daemon", "libvirt-daemon-driver-xen", "libvirt-clients", "openssl")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
#: Of no use on a node: drivers for other hypervisors and for storage, and descriptions for other programs.
UNNEEDED = ("usr/share/libvirt/schemas", "usr/share/libvirt/*.png", "usr/share/systemtap", "usr/share/augeas",
            "usr/share/polkit-1/actions", f"{LIBRARIES}/libvirt/storage-*", "usr/bin/virt-admin",
            "usr/bin/virt-host-validate")


def fit(root: Path) -> None:
    """Make libvirt small enough for a root in memory, and have it start on the emulated processor."""
    for pattern in UNNEEDED:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for driver in root.glob(f"{LIBRARIES}/libvirt/connection-driver/*.so"):
        if driver.name != "libvirt_driver_libxl.so":
            driver.unlink()
    for folder in ("etc/libvirt", "var/log/libvirt"):  # which another package has, beside units for systemd
        (root / folder).mkdir(exist_ok=True)
    # The smallest model that libvirt knows has a feature that QEMU's processor lacks; then the daemon ends.
    model = root / "usr/share/libvirt/cpu_map/x86_486.xml"
    model.write_text(re.sub(r" *<feature name='vme'/>\n", "", model.read_text()))
    # Tables of all the world's languages, 30 MB of them: an empty one will do, since nothing is sorted or translated.
    for data in root.glob(f"{LIBRARIES}/libicudata.so.*.*"):
        version = data.name.split(".")[2]
        data.unlink()
        source = data.with_name("icudata.c")
        source.write_text(f"const char icudt{version}_dat[16];\n")
        run(["gcc", "-shared", "-nostdlib", f"-Wl,-soname,libicudata.so.{version}", source, "-o", data])
        source.unlink()


def start(*nodes: Host, options: str = "") -> None:
    """Start libvirt's daemon; returns when it answers."""
    for node in nodes:
        node.run("sh", "-c", f"libvirtd --daemon {options}")
    for node in nodes:
        node.run("virsh", "list")


def restart(*nodes: Host, options: str = "") -> None:
    """End the daemon and start it again; its guests run on."""
    for node in nodes:
        node.sh('pid=$(cat /run/libvirtd.pid); kill "$pid"; while [ -e "/proc/$pid" ]; do sleep 0.1; done')
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
