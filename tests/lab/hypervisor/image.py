# SPDX-License-Identifier: MIT
"""A node's image, made of Debian's packages: the hypervisor, Domain-0's kernel, and its root as an initial RAM disk."""
from __future__ import annotations

import gzip
import lzma
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.lab.hypervisor import cache
from tests.lab.hypervisor.cache import CacheError
from tests.lab.hypervisor.packages import Packages, Release, packages_of, run

INSIDE = Path(__file__).with_name("inside")
#: What Domain-0 has besides what Debian calls essential; xen-utils has the version in its name.
ROOT = ("xenstore-utils", "openssh-server", "openssh-client", "iptables", "nftables", "iproute2", "kmod", "procps",
        "mount", "util-linux", "login", "passwd", "sudo", "netcat-openbsd")
#: libvirt's daemon with its driver for Xen, virsh, and what makes certificates.
LIBVIRT = ("libvirt-daemon", "libvirt-daemon-driver-xen", "libvirt-clients", "openssl")
#: Left out of the root, which is held in memory.
UNNEEDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/zoneinfo/*",
            "/usr/share/i18n/*", "/usr/share/bash-completion/*", "/usr/share/lintian/*",
            "/usr/lib/x86_64-linux-gnu/gconv/*", "/usr/lib/xen-*/boot/xen-shim*")
#: Left out only when all packages are configured, since some need it for that.
UNNEEDED_AFTER = (
    "usr/share/perl*", "usr/bin/perl*", "usr/lib/x86_64-linux-gnu/perl*", "usr/lib/x86_64-linux-gnu/libperl*",
    "var/lib/apt", "var/cache", "var/lib/dpkg/info", "usr/bin/apt*", "usr/lib/apt", "usr/lib/x86_64-linux-gnu/libapt*",
    *(f"usr/lib/python3*/{name}" for name in ("test", "idlelib", "lib2to3", "pydoc_data", "unittest", "ensurepip",
                                              "distutils", "tkinter", "turtledemo", "turtle.py", "_pyrepl")),
    "usr/lib/udev/hwdb*", "usr/lib/xen-*/bin/test-*", "boot", "etc/ssh/ssh_host_*", "var/log/*.log",
    # libvirt's drivers for storage, and descriptions for other programs.
    "usr/lib/x86_64-linux-gnu/libvirt/storage-*", "usr/share/libvirt/schemas", "usr/share/libvirt/*.png",
    "usr/share/systemtap", "usr/share/augeas", "usr/share/polkit-1/actions")
#: The kernel's modules that a node has, with all that they depend on; folders from kernel/.
MODULE_FOLDERS = ("net/netfilter", "net/ipv4/netfilter", "net/ipv6/netfilter", "net/bridge")
MODULES = ("virtio_pci", "virtio_net", "virtio_console", "xenfs", "xen-evtchn", "xen-gntdev", "xen-gntalloc",
           "xen-privcmd", "xen-netback", "xen-blkback", "tun", "veth", "wireguard", "crc32c_generic")
#: Where the kernel's image has how its payload is packed (Documentation/arch/x86/boot.rst).
XZ, ZSTD = b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"


def take(release: Release, say: Callable[[str], None]) -> Path:
    """The folder with a release's image: ``xen``, ``vmlinux`` and ``root.cpio``; made first, where it is not kept.

    Raises CacheError with one line where it cannot be.
    """
    return made_of_packages("image", release, (*ROOT, *LIBVIRT), (*sorted(INSIDE.iterdir()), Path(__file__)), _build,
                            say)


def made_of_packages(kind: str, release: Release, names: Sequence[str], built_in: Iterable[Path],
                     build: Callable[[Build], None], say: Callable[[str], None]) -> Path:
    """What ``build`` makes of a release's hypervisor, its kernel, and a root of these packages and the version's
    xen-utils; made first, where it is not kept. It is made anew with other versions, or when one of the files
    ``built_in`` has changed."""
    packages = packages_of(release, cache.folder() / f"apt-{release.xen}")
    if packages.stale:
        say(f"the packages of {release.name} are those that the mirror had the last time: {packages.stale}")
    names = [f"xen-utils-{release.xen}", *names]
    versions = packages.versions([f"xen-hypervisor-{release.xen}-amd64", "linux-image-amd64", "busybox-static", *names])

    def make(new: Path) -> dict:
        say(f"making the {kind} of {release.name} with Xen {versions[f'xen-hypervisor-{release.xen}-amd64']}")
        with tempfile.TemporaryDirectory(prefix=f"new-{kind}-{release.xen}-", dir=cache.folder()) as scratch:
            build(Build(release, packages, versions, names, Path(scratch), new))
        return {"release": release.name, "versions": versions}

    key = cache.key_of(sorted(versions.items()), *(path.read_text(encoding="utf-8") for path in built_in))
    return cache.take(f"{kind}-{release.xen}", key, make, say)


class Build(NamedTuple):
    """What an image is built from, a folder to work in, and the folder that it is to be in."""

    release: Release
    packages: Packages
    versions: dict[str, str]
    names: list[str]
    scratch: Path
    new: Path

    def bootstrap(self, *options: str) -> Path:
        """The root: a folder with the packages, unpacked and configured."""
        root = self.scratch / "root"
        run(["mmdebstrap", "--quiet", "--variant=essential", f"--include={','.join(self.names)}", *options,
             *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNNEEDED), self.release.suite, root,
             *self.packages.sources])
        return root


class Boot(NamedTuple):
    """What a node boots from: the folder with all of it, and in there the packed kernel and its modules."""

    folder: Path
    vmlinuz: Path
    modules: Path


def _build(build: Build) -> None:
    boot = unpack_boot(build)
    root = build.bootstrap()
    for pattern in UNNEEDED_AFTER:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    _fit_libvirt(root)
    copy_modules(boot.modules, root)
    _copy_own(root)
    _linux_guest(boot, build.scratch / "guest", root / "lab")
    _pack(root, build.new / "root.cpio")


def unpack_boot(build: Build) -> Boot:
    """Make ``xen`` and ``vmlinux``, which need not be unpacked any more."""
    kernel, = (name for name in build.versions if re.fullmatch(r"linux-image-[\d.]+.*-amd64", name))
    folder = build.scratch / "boot"
    build.packages.unpack([f"xen-hypervisor-{build.release.xen}-amd64", kernel, "busybox-static"], folder)
    hypervisor, = folder.glob(f"boot/xen-{build.release.xen}*.gz")
    (build.new / "xen").write_bytes(gzip.decompress(hypervisor.read_bytes()))
    vmlinuz, = folder.glob("boot/vmlinuz-*")
    (build.new / "vmlinux").write_bytes(decompressed(vmlinuz.read_bytes()))
    modules = [path for path in (folder / "lib/modules", folder / "usr/lib/modules") if path.is_dir()][0]
    return Boot(folder, vmlinuz, modules / vmlinuz.name.removeprefix("vmlinuz-"))


def _fit_libvirt(root: Path) -> None:
    """Make libvirt small enough for a root in memory, and have it start on the emulated processor."""
    libraries = root / "usr/lib/x86_64-linux-gnu"
    for driver in libraries.glob("libvirt/connection-driver/*.so"):
        if driver.name != "libvirt_driver_libxl.so":
            driver.unlink()
    for folder in ("etc/libvirt", "var/log/libvirt"):  # which another package has, beside units for systemd
        (root / folder).mkdir(exist_ok=True)
    # The smallest model that libvirt knows has a feature that QEMU's processor lacks; then the daemon ends.
    model = root / "usr/share/libvirt/cpu_map/x86_486.xml"
    model.write_text(re.sub(r" *<feature name='vme'/>\n", "", model.read_text()))
    # Tables of all the world's languages, 30 MB of them: an empty one will do, since nothing is sorted or translated.
    for data in libraries.glob("libicudata.so.*.*"):
        version = data.name.split(".")[2]
        data.unlink()
        source = data.with_name("icudata.c")
        source.write_text(f"const char icudt{version}_dat[16];\n")
        run(["gcc", "-shared", "-nostdlib", f"-Wl,-soname,libicudata.so.{version}", source, "-o", data])
        source.unlink()


def _linux_guest(boot: Boot, guest: Path, to: Path) -> None:
    """A guest with a network: Domain-0's own kernel, and busybox in an initial RAM disk that obeys its console."""
    module, = boot.modules.glob("**/xen-netfront.ko*")
    pack_first(boot, guest, (INSIDE / "guest-init").read_text(encoding="utf-8"), {"xen-netfront.ko": module},
               to / "guest-linux.cpio")
    shutil.copy(boot.vmlinuz, to / "guest-linux")


def pack_first(boot: Boot, folder: Path, init: str, modules: Mapping[str, Path], to: Path) -> None:
    """Make an initial RAM disk of a first process, busybox, and modules, each with the name that it has in there."""
    (folder / "bin").mkdir(parents=True)
    busybox, = (path for path in (boot.folder / "bin/busybox", boot.folder / "usr/bin/busybox") if path.exists())
    shutil.copy(busybox, folder / "bin")
    (folder / "init").write_text(init, encoding="utf-8")
    (folder / "init").chmod(0o755)
    for name, module in modules.items():
        packed = module.read_bytes()
        (folder / name).write_bytes(lzma.decompress(packed) if module.suffix == ".xz" else packed)
    _pack(folder, to)


def _pack(folder: Path, to: Path) -> None:
    """Make an initial RAM disk of a folder."""
    with to.open("wb") as archive:
        names = subprocess.run(["find", ".", "-print0"], cwd=folder, capture_output=True, check=True)
        packed = subprocess.run(["cpio", "--create", "--format=newc", "--null", "--quiet"], cwd=folder,
                                input=names.stdout, stdout=archive, stderr=subprocess.PIPE)
    if packed.returncode:
        raise CacheError(f"cpio: {packed.stderr.decode().strip()}")


def decompressed(vmlinuz: bytes) -> bytes:
    """The ELF image within a compressed kernel: Xen gets to Domain-0 sooner when it has nothing to unpack."""
    setup = vmlinuz[0x1f1] or 4
    offset, length = struct.unpack_from("<II", vmlinuz, 0x248)
    start = (setup + 1) * 512 + offset
    payload = vmlinuz[start:start + length]
    if payload.startswith(XZ):
        # Behind the payload stands its length unpacked, which is no part of it.
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(ZSTD):
        return subprocess.run(["zstd", "--decompress", "--stdout", "--quiet"], input=payload[:-4],
                              capture_output=True, check=True).stdout
    raise CacheError(f"the kernel is packed in a way that is not known here: it begins with {payload[:4].hex()}")


def dependencies(found: Path) -> dict[str, list[str]]:
    """What each of the kernel's modules depends on; what is to be loaded first stands last."""
    run(["depmod", "--basedir", found.parents[2], found.name])
    return {line.partition(":")[0]: line.partition(":")[2].split()
            for line in (found / "modules.dep").read_text().splitlines()}


def copy_modules(found: Path, root: Path) -> None:
    """Copy the chosen modules and all that they depend on, then list them anew."""
    version = found.name
    for name in closure(dependencies(found)):
        to = root / "lib/modules" / version / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found / name, to)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(found / name, root / "lib/modules" / version)
    run(["depmod", "--basedir", root, version])


def closure(needs: dict[str, list[str]]) -> set[str]:
    """The chosen modules with all that they depend on; ``needs`` is what modules.dep has."""
    wanted = {name for name in needs
              if name.rpartition("/")[2].partition(".")[0].replace("_", "-") in {m.replace("_", "-") for m in MODULES}
              or name.removeprefix("kernel/").startswith(tuple(f"{folder}/" for folder in MODULE_FOLDERS))}
    return wanted.union(*(needs[name] for name in wanted))


def _copy_own(root: Path) -> None:
    """Put in what makes a node of the lab of it."""
    shutil.copy(INSIDE / "init", root / "init")
    (root / "init").chmod(0o755)
    own = root / "lab"
    own.mkdir()
    shutil.copy(INSIDE / "remote.py", own)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    # So that a test sees what its guest prints, without a terminal.
    (root / "var/log/xen/console").mkdir(parents=True)
    _set(root / "etc/default/xen", "XENCONSOLED_ARGS", "'--log=guest --timestamp=none'")


def _set(path: Path, name: str, value: str) -> None:
    lines: Iterable[str] = path.read_text().splitlines() if path.exists() else []
    path.write_text("\n".join([line for line in lines if not line.startswith(f"{name}=")] + [f"{name}={value}", ""]))
