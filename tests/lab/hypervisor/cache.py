# SPDX-License-Identifier: MIT
"""What is made once and kept: folders that are there whole or not at all, each with the hashes of its files."""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: In each folder: the hash of each of its files, and what else is to be known about it.
ABOUT = "about.json"


class CacheError(RuntimeError):
    """Something could not be made; the message is one line for a person."""


def folder() -> Path:
    """The folder of all that is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "securing-xen"


def key_of(*parts: object) -> str:
    """A short name for what something is made of."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def take(kind: str, key: str, make: Callable[[Path], dict], say: Callable[[str], None]) -> Path:
    """The folder KIND-KEY; where there is none, or a damaged one, ``make`` fills a new one.

    ``make`` gets an empty folder and returns what else is to be known about it. What was kept of the same kind
    under other keys is removed. Raises CacheError where there is no room, with nothing half-made left.
    """
    wanted = folder() / f"{kind}-{key}"
    with lock(kind):
        if wanted.exists():
            if not (damage := _damage(wanted)):
                return wanted
            say(f"{wanted.name} is damaged ({damage}): making it again")
            shutil.rmtree(wanted)
        new = Path(tempfile.mkdtemp(prefix=f"new-{kind}-", dir=folder()))
        try:
            about = make(new)
            hashes = {path.name: _hash(path) for path in sorted(new.iterdir())}
            (new / ABOUT).write_text(json.dumps({"about": about, "hashes": hashes}, indent=1) + "\n")
            new.chmod(0o755)
            new.rename(wanted)
        except OSError as error:
            raise CacheError(f"{wanted} could not be made: {error.strerror or error}") from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
        for old in folder().glob(f"{kind}-*"):
            if old != wanted:
                shutil.rmtree(old)
        return wanted


@contextmanager
def lock(kind: str) -> Iterator[None]:
    """Two runs at the same time make a thing once. What a killed run left half-made is removed."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        file = open(folder() / f"lock-{kind}", "w")
    except OSError as error:
        raise CacheError(f"{folder()}: {error.strerror}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for half in folder().glob(f"new-{kind}-*"):
            shutil.rmtree(half)
        yield


def about(kept: Path) -> dict:
    """What was to be known about a kept folder."""
    return json.loads((kept / ABOUT).read_text())["about"]


def _damage(kept: Path) -> str:
    """What is wrong with a kept folder, or an empty string."""
    try:
        hashes = json.loads((kept / ABOUT).read_text())["hashes"]
        for name, sha256 in hashes.items():
            if _hash(kept / name) != sha256:
                return f"{name} is not what it was"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return str(error)
    return ""


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
