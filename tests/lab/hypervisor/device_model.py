# SPDX-License-Identifier: MIT
"""QEMU for guests of type HVM, brought to a node that runs: it would make the image of every node too large."""
from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.lab.hypervisor import cache, image
from tests.lab.hypervisor.cluster import Node
from tests.lab.hypervisor.packages import Packages, Release, packages_of
from tests.lab.namespaces import HUNG

PACKAGE = "qemu-system-xen"
#: Where Debian's QEMU for Xen is.
PROGRAM = "/usr/libexec/xen-qemu-system-i386"
#: What of its packages is brought: the program, its libraries, the firmware of its graphics card and of the guest, and
#: the keyboards that VNC knows.
FILES = ("usr/libexec/*", "usr/lib/x86_64-linux-gnu/*.so*", "usr/share/seabios/*.bin", "usr/share/qemu/keymaps/*")


def install(node: Node) -> None:
    """Bring it to a node. Raises CacheError where it cannot be had."""
    with open(_take(node.lab.kept[node.name].release) / "files.tar", "rb") as files:
        process = node.popen("tar", "--extract", "--directory", "/", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        process.stdin.buffer.write(files.read())
    said, _ = process.communicate(timeout=HUNG)
    assert process.returncode == 0, said


def _take(release: Release) -> Path:
    packages = packages_of(release, cache.folder() / f"apt-{release.xen}")
    there = [f"xen-utils-{release.xen}", *image.ROOT, *image.LIBVIRT]
    before, versions = packages.versions(there), packages.versions([*there, PACKAGE])
    new = [name for name in versions if name not in before]
    key = cache.key_of(FILES, *(f"{name} {versions[name]}" for name in new))
    return cache.take(f"device-model-{release.xen}", key, lambda to: _make(packages, new, to), lambda line: None)


def _make(packages: Packages, names: list[str], to: Path) -> dict:
    with tempfile.TemporaryDirectory(prefix=f"new-{PACKAGE}-", dir=cache.folder()) as scratch:
        folder = Path(scratch, "files")
        packages.unpack(names, folder)
        with tarfile.open(to / "files.tar", "w") as tar:
            for path in sorted({path for pattern in FILES for path in folder.glob(pattern)}):
                tar.add(path, str(path.relative_to(folder)))
    return {}
