# SPDX-License-Identifier: MIT
"""The image of a node that boots as Debian does: from a disk, and with systemd. What it writes outlives a reboot."""
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.lab.hypervisor import image
from tests.lab.hypervisor.image import Build
from tests.lab.hypervisor.packages import Release, run

#: What Domain-0 has besides what Debian calls essential; xen-utils has the version in its name.
ROOT = (*image.ROOT, "systemd-sysv", "udev", "ifupdown", "bridge-utils", "netfilter-persistent", "iptables-persistent")
#: Packages that are there to be installed once more.
AGAIN = ("nftables", "netfilter-persistent", "iptables-persistent")
#: Packages of which there is nothing but the units for systemd: it opens libvirt's ports, and nobody answers.
UNITS_ONLY = ("libvirt-daemon", "libvirt-daemon-system")
#: Installed, iptables-persistent would keep the rules that are in force: those of the machine that builds.
ANSWERS = "".join(f"iptables-persistent iptables-persistent/autosave_v{version} boolean false\n" for version in (4, 6))
#: Loaded before the root is there, with all that they depend on.
MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4", "crc32c_generic")
#: The size of the disk, and the machine's name for itself: without one, systemd would enable every service.
SIZE, MACHINE_ID = "640M", "5ec0de5ec0de5ec0de5ec0de5ec0de00"

#: Units and generators of Debian's that a machine has for logins, EFI, a TPM or a screen: there is no such thing here,
#: and each start of a program takes its time on an emulated processor.
ABSENT = (
    *(f"system/{name}.service" for name in (
        "getty@tty1", "getty-static", "serial-getty@hvc0", "modprobe@configfs", "modprobe@drm", "modprobe@efi_pstore",
        "modprobe@fuse", "systemd-pstore", "systemd-random-seed")),
    *(f"system-generators/systemd-{name}-generator" for name in (
        "bless-boot", "cryptsetup", "debug", "getty", "gpt-auto", "hibernate-resume", "integritysetup", "rc-local",
        "run", "ssh", "system-update", "tpm2", "veritysetup")))

INIT = """#!/bin/busybox sh
# Gets the root from the disk, and leaves all else to what is there.
export PATH=/bin
busybox mkdir -p /dev /proc /sys /root
busybox mount -t devtmpfs devtmpfs /dev
for module in /*.ko; do busybox insmod "$module"; done
until [ -b /dev/vda ]; do :; done
busybox mount -t ext4 /dev/vda /root
busybox mount -o move /dev /root/dev
exec busybox switch_root /root /sbin/init
"""

#: The lab's own services, by the target that wants them: one that runs its commands, and ports that are open from early
#: on, long before there is a network, so that whatever could get in would.
UNITS = {
    ("lab.service", "multi-user.target"): """[Service]
Environment=LC_ALL=C.UTF-8 HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/bin/sh -c 'exec python3 -I /lab/remote.py /dev/vport*p1'
""",
    ("lab-ports.socket", "sysinit.target"): """[Unit]
DefaultDependencies=no
[Socket]
ListenStream=5900
ListenStream=8002
""",
    ("lab-ports.service", ""): """[Unit]
DefaultDependencies=no
[Service]
ExecStart=/usr/bin/python3 -I /lab/ports.py
"""}

PORTS = """
import select, socket
sockets = [socket.socket(fileno=number) for number in (3, 4)]
while True:
    for ready in select.select(sockets, [], [])[0]:
        ready.accept()[0].close()
"""


def take(release: Release, say: Callable[[str], None]) -> Path:
    """The folder with ``xen``, ``vmlinux``, ``root.cpio`` and ``disk``; made first, where it is not kept.

    Raises CacheError with one line where it cannot be.
    """
    return image.made_of_packages("disk", release, ROOT,
                                  (image.INSIDE / "remote.py", Path(image.__file__), Path(__file__)), _build, say)


def _build(build: Build) -> None:
    boot = image.unpack_boot(build)
    answers = build.scratch / "answers"
    answers.write_text(ANSWERS)
    root = build.bootstrap(f'--essential-hook=chroot "$1" debconf-set-selections <"{answers}"')
    image.copy_modules(boot.modules, root)
    build.packages.download(AGAIN, root / "lab")
    shutil.copy(image.INSIDE / "remote.py", root / "lab")
    (root / "lab/ports.py").write_text(PORTS)
    (root / "etc/machine-id").write_text(f"{MACHINE_ID}\n")
    build.packages.unpack(UNITS_ONLY, build.scratch / "units")
    for unit in (build.scratch / "units").glob("**/systemd/system/libvirtd*"):
        shutil.copy(unit, root / "etc/systemd/system")
    for name in ABSENT:
        path = root / "etc/systemd" / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to("/dev/null")
    for (name, target), text in UNITS.items():
        (root / "etc/systemd/system" / name).write_text(text)
        if target:
            wants = root / f"etc/systemd/system/{target}.wants"
            wants.mkdir(exist_ok=True)
            (wants / name).symlink_to(f"../{name}")
    run(["mke2fs", "-q", "-t", "ext4", "-d", root, build.new / "disk", SIZE])

    modules = {f"{number:02}.ko": boot.modules / name
               for number, name in enumerate(in_order(image.dependencies(boot.modules)))}
    image.pack_first(boot, build.scratch / "first", INIT, modules, build.new / "root.cpio")


def in_order(needs: dict[str, list[str]]) -> list[str]:
    """The files of :data:`MODULES` and of what they depend on, in an order in which they can be loaded."""
    chosen = [name for name in needs if name.rpartition("/")[2].partition(".")[0] in MODULES]
    return list(dict.fromkeys(needed for name in chosen for needed in (*reversed(needs[name]), name)))
