# SPDX-License-Identifier: MIT
"""Debian's packages for another system than this one: which there are, and how to get them.

apt works with a configuration of its own here, so it neither sees nor changes what is installed.
"""
from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.hypervisor import cache
from tests.lab.hypervisor.cache import CacheError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Releases whose mirror has those of the lab, too.
CODENAMES = ("bullseye", "bookworm", "trixie", "forky", "sid")
#: Debian's own mirrors, of its releases and of their security updates.
MIRRORS = {"": "http://deb.debian.org/debian/", "security": "http://deb.debian.org/debian-security/"}

CONFIGURATION = """
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "{folder}/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{folder}/none";
Dir::State "{folder}/state";
Dir::State::status "/dev/null";
Dir::Cache "{folder}/cache";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
"""


@dataclass(frozen=True)
class Release:
    """A Debian release, and its Xen."""

    xen: str
    suite: str
    name: str


RELEASES = {release.xen: release for release in (
    Release("4.17", "bookworm", "Debian 12"), Release("4.20", "trixie", "Debian 13"))}


class Packages:
    """The packages of a release, as its mirror has them today, or when it last answered."""

    def __init__(self, release: Release, folder: Path):
        self.release = release
        self.folder = folder
        self.sources = sources(release)
        # apt does not wait for another that updates the same lists.
        with cache.lock(folder.name):
            for name in ("none", "state/lists/partial", "cache/archives/partial"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / "apt.conf").write_text(CONFIGURATION.format(folder=folder))
            (folder / "sources.list").write_text("\n".join(self.sources) + "\n")
            done = self._apt("update", "--error-on=any")
        #: Why the mirror could not be asked today, where the lists are those of an earlier day; else nothing.
        self.stale = _error_of(done) if done.returncode else ""
        if self.stale and not any((folder / "state/lists").glob("*_Packages*")):
            raise CacheError(f"the mirror has no list of the packages of {release.name}: {self.stale}")

    def versions(self, names: Sequence[str]) -> dict[str, str]:
        """These packages and all that they depend on, each with its version."""
        done = self._apt("--simulate", "install", *names)
        if done.returncode:
            raise CacheError(f"the mirror lacks a package of {self.release.name}: {_error_of(done)}")
        return dict(re.findall(r"^Inst (\S+) \((\S+) ", done.stdout, re.MULTILINE))

    def download(self, names: Sequence[str], to: Path) -> None:
        """Get packages into a folder, without those that they depend on."""
        to.mkdir()
        done = self._apt("download", *names, directory=to)
        if done.returncode:
            raise CacheError(f"the mirror does not give the packages of {self.release.name}: {_error_of(done)}")

    def unpack(self, names: Sequence[str], to: Path) -> None:
        """Unpack packages into a folder, without those that they depend on; nothing of them is run."""
        self.download(names, to)
        for package in sorted(to.glob("*.deb")):
            run(["dpkg-deb", "--extract", package, to])
            package.unlink()

    def _apt(self, *arguments: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C"}
        return subprocess.run(["apt-get", "--quiet", *arguments], env=environment, cwd=directory,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)


#: The mirror is asked once a run.
packages_of = functools.cache(Packages)


def sources(release: Release) -> list[str]:
    """What apt calls sources, for a release: on the mirrors that this machine uses, or where it has none of Debian's,
    such as on Ubuntu, on Debian's own."""
    # Without the release info, so that it answers also where the lists have not been fetched.
    asked = subprocess.run(["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE)",
                            "Identifier: Packages"], capture_output=True, text=True)
    mirrors = dict(MIRRORS)
    for line in asked.stdout.splitlines():
        address, _, suite = line.partition(" ")
        codename, _, rest = suite.partition("-")
        if codename in CODENAMES and rest in mirrors:
            mirrors[rest] = address
    return [f"deb [signed-by={KEYRING}] {mirrors['']} {release.suite} main",
            f"deb [signed-by={KEYRING}] {mirrors['security']} {release.suite}-security main"]


def run(command: Sequence[str | Path], **options) -> subprocess.CompletedProcess[str]:
    """Run a program that helps to build. Raises CacheError with the last line that it said where it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    if done.returncode:
        raise CacheError(f"{command[0]}: {_error_of(done)}")
    return done


def _error_of(done: subprocess.CompletedProcess[str]) -> str:
    """The line of an output that says what is wrong: apt's first error has the reason, another program's last line."""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "Err:"))]
    return errors[0] if errors else (lines or [f"exit status {done.returncode}"])[-1]
