# SPDX-License-Identifier: MIT
"""What the Xen lab does where it cannot run or build, and what it keeps; its nodes themselves are in tests/xen."""
from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import skip, topology
from tests.lab.hypervisor import cache, cluster, disk, image, packages, serial
from tests.lab.hypervisor.cache import CacheError
from tests.lab.hypervisor.packages import RELEASES, Packages
from tests.lab.namespaces import PROJECT, unshare, why_not


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "securing-xen"


@pytest.fixture
def said() -> list[str]:
    return []


def make_text(text: str):
    def make(new: Path) -> dict:
        (new / "file").write_text(text)
        return {"text": text}
    return make


def never(new: Path) -> dict:
    raise AssertionError("made although it was there")


def kept(own_cache: Path) -> list[str]:
    return sorted(path.name for path in own_cache.iterdir() if not path.name.startswith("lock-"))


def test_made_once(own_cache, said):
    made = cache.take("image-1", "a", make_text("one"), said.append)
    assert (made / "file").read_text() == "one"
    assert cache.about(made) == {"text": "one"}
    assert cache.take("image-1", "a", never, said.append) == made
    assert said == []


def test_another_key_takes_the_place(own_cache, said):
    cache.take("image-1", "a", make_text("one"), said.append)
    cache.take("image-2", "a", make_text("other"), said.append)
    cache.take("image-1", "b", make_text("two"), said.append)
    assert kept(own_cache) == ["image-1-b", "image-2-a"]


@pytest.mark.parametrize("damage", [
    lambda made: (made / "file").write_text("onE"),
    lambda made: (made / "file").unlink(),
    lambda made: (made / cache.ABOUT).write_text("{"),
    lambda made: (made / cache.ABOUT).unlink(),
    lambda made: (made / cache.ABOUT).write_text("[]"),
], ids=["changed", "file gone", "about damaged", "about gone", "about is something else"])
def test_damaged_is_made_again(own_cache, said, damage):
    damage(cache.take("image-1", "a", make_text("one"), said.append))
    made = cache.take("image-1", "a", make_text("one"), said.append)
    assert (made / "file").read_text() == "one"
    assert len(said) == 1 and said[0].startswith("image-1-a is damaged (") and said[0].endswith("): making it again")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), CacheError("no mirror"), OSError(28, "No space left")],
                         ids=["interrupted", "no mirror", "no space"])
def test_nothing_half_made_is_kept(own_cache, said, error):
    def make(new: Path) -> dict:
        (new / "file").write_text("half")
        raise error
    with pytest.raises((CacheError, KeyboardInterrupt)):
        cache.take("image-1", "a", make, said.append)
    assert kept(own_cache) == []


def test_what_a_killed_run_left_is_removed(own_cache, said):
    (own_cache / "new-image-1-xyz").mkdir(parents=True)
    cache.take("image-1", "a", make_text("one"), said.append)
    assert kept(own_cache) == ["image-1-a"]


FULL = """
from tests.lab.hypervisor import cache
def make(new):
    (new / "file").write_bytes(bytes(4_000_000))
try:
    cache.take("image-1", "a", make, print)
except cache.CacheError as error:
    print(error)
print(sorted(path.name for path in cache.folder().iterdir()))
"""


def test_a_full_disk():
    """One line, and the half that was written is gone."""
    skip.without_lab(why_not())
    done = subprocess.run(
        [*unshare(), "sh", "-ec", 'mount -t tmpfs -o size=1M tmpfs /mnt; exec "$@"', "sh", sys.executable, "-c", FULL],
        env=os.environ | {"XDG_CACHE_HOME": "/mnt", "PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "/mnt/securing-xen/image-1-a could not be made: No space left on device", "['lock-image-1']"], done.stderr


def test_no_mirror(own_cache, monkeypatch):
    """A mirror that does not answer is one line."""
    monkeypatch.setattr(packages, "sources", lambda release: [
        f"deb [signed-by={packages.KEYRING}] file:{own_cache}/nowhere {release.suite} main"])
    if not Path("/usr/bin/apt-get").exists():
        pytest.skip("not installed: apt-get")
    with pytest.raises(CacheError, match="^the mirror has no list of the packages of Debian 13: .*nowhere.*$") as error:
        image.take(RELEASES["4.20"], print)
    assert "\n" not in str(error.value)
    assert kept(own_cache) == ["apt-4.20"]


def test_a_mirror_that_does_not_answer_any_more(own_cache, monkeypatch, tmp_path):
    """What it had the last time is gone by, so that an image that is kept serves without a network."""
    if not Path("/usr/bin/apt-get").exists():
        pytest.skip("not installed: apt-get")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "Packages").write_text("Package: a\nVersion: 1.2\nArchitecture: amd64\nFilename: a.deb\nSize: 1\n")
    monkeypatch.setattr(packages, "sources", lambda release: [f"deb [trusted=yes] file:{mirror} ./"])
    assert not Packages(RELEASES["4.20"], own_cache / "apt").stale
    mirror.rename(tmp_path / "gone")
    later = Packages(RELEASES["4.20"], own_cache / "apt")
    assert "mirror" in later.stale
    assert later.versions(["a"]) == {"a": "1.2"}


@pytest.mark.parametrize(("lists", "mirror"), [
    ("http://x/ubuntu noble\nhttp://x/ubuntu noble-security\n", "deb.debian.org"),
    ("http://x/ubuntu noble\nhttp://near/debian bookworm\nhttp://near/debian-security bookworm-security\n", "near")],
    ids=["another distribution", "Debian"])
def test_the_mirrors_of_this_machine_or_debians_own(monkeypatch, lists, mirror):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, lists, ""))
    release, security = packages.sources(RELEASES["4.20"])
    assert f"http://{mirror}/debian" in release and release.endswith(" trixie main")
    assert f"http://{mirror}/debian-security" in security and security.endswith(" trixie-security main")


def test_what_a_simulation_says(monkeypatch, tmp_path):
    """The versions of packages are read from what apt would install."""
    monkeypatch.setattr(packages, "sources", lambda release: [])
    answers = {"update": "", "--simulate": "Inst xen-utils-4.20 (4.20.4 Debian:13/stable [amd64])\nConf x (1 y)"}
    monkeypatch.setattr(Packages, "_apt", lambda self, first, *_, **__: subprocess.CompletedProcess(
        [], 0, answers[first], ""))
    assert Packages(RELEASES["4.20"], tmp_path).versions(["xen-utils-4.20"]) == {"xen-utils-4.20": "4.20.4"}


def test_modules_with_what_they_need():
    needs = {"kernel/net/bridge/bridge.ko": ["kernel/net/802/stp.ko"], "kernel/net/802/stp.ko": [],
             "kernel/drivers/xen/xen-evtchn.ko.xz": [], "kernel/drivers/net/other.ko": []}
    assert image.closure(needs) == set(needs) - {"kernel/drivers/net/other.ko"}


def test_modules_in_an_order_in_which_they_load():
    needs = {"kernel/fs/ext4/ext4.ko.xz": ["kernel/lib/crc16.ko.xz", "kernel/fs/jbd2/jbd2.ko.xz", "kernel/a.ko.xz"],
             "kernel/fs/jbd2/jbd2.ko.xz": ["kernel/a.ko.xz"], "kernel/a.ko.xz": [], "kernel/lib/crc16.ko.xz": [],
             "kernel/drivers/block/virtio_blk.ko": ["kernel/a.ko.xz"], "kernel/drivers/net/other.ko": []}
    order = disk.in_order(needs)
    assert set(order) == set(needs) - {"kernel/drivers/net/other.ko"}
    assert len(order) == len(set(order))
    assert all(order.index(needed) < order.index(name) for name in order for needed in needs[name])


def test_a_kernel_that_is_packed_otherwise():
    vmlinuz = bytearray(8192)
    struct.pack_into("<II", vmlinuz, 0x248, 0, 64)
    with pytest.raises(CacheError, match="it begins with 00000000$"):
        image.decompressed(bytes(vmlinuz))


CARDS = """
title = "three cards"
[networks.wire]
title = "wire"
prefixes = ["203.0.113.0/24"]
[hosts.node-a]
role = "node"
[hosts.node-a.interfaces.eth2]
network = "wire"
addresses = ["203.0.113.11/24"]
"""


def test_a_topology_that_cannot_be_built(monkeypatch):
    """A card that no node has is said before anything is made or started."""
    monkeypatch.setattr(cluster, "kept", never)
    says = "^three: node-a: a node of the Xen lab has the cards eth0 and eth1, not eth2$"
    with pytest.raises(topology.TopologyError, match=says):
        cluster.Cluster(topology.parse(CARDS, "three"), "4.20")


@pytest.mark.parametrize("change, says", [
    (("os.geteuid", lambda: 1000), "the Xen lab needs root: sudo make test-xen"),
    (("shutil.which", lambda name, path: None if name == "qemu-system-x86_64" else name),
     "not installed: qemu-system-x86_64; sudo ./install-packages.sh xen"),
    (("qemu.memory_available", lambda: 700), "2 nodes take {takes} MB of memory, and 700 MB are available"),
], ids=["no root", "no QEMU", "no memory"])
def test_one_line_where_it_cannot_run(monkeypatch, change, says):
    monkeypatch.setattr(cluster.os, "geteuid", lambda: 0)
    monkeypatch.setattr(cluster.shutil, "which", lambda name, path: name)
    monkeypatch.setattr(cluster.namespaces, "why_not", lambda: "")
    monkeypatch.setattr(cluster, "KEYRING", Path("/"))
    monkeypatch.setattr(cluster.qemu, "memory_available", lambda: 10_000)
    monkeypatch.setattr(f"tests.lab.hypervisor.cluster.{change[0]}", change[1])
    assert cluster.why_not() == says.format(takes=2 * cluster.qemu.TAKES)


def test_a_command_that_has_ended_leaves_no_file_open():
    """A run has thousands of them on its nodes."""
    process = serial.Process(["id"], lambda *_: None, None, subprocess.PIPE, subprocess.PIPE)
    for letter, data in ((b"o", b"said\n"), (b"x", b"0"), (b"o", b""), (b"e", b"")):
        process.receive(letter, data)
    assert process.communicate() == ("said\n", "")
    assert process.stdout.closed and process.stderr.closed
