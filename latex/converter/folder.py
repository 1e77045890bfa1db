# SPDX-License-Identifier: MIT
"""The folder that is written: whole or not at all, and never over what somebody else wrote."""
from __future__ import annotations

import os
import zlib
from pathlib import Path


class OutputError(Exception):
    """An output folder that is not written to; the message is one line."""


MANIFEST = ".tex2myst"  # what this program wrote to a folder: on each line a sum and a name


def write(files: dict[str, bytes], out: Path) -> None:
    """Make ``out`` hold these files and no others: all of them, or it stays as it was.

    Raises OutputError if ``out`` holds anything that an earlier call did not
    write, or that was changed since, and OSError if it cannot be written.
    """
    manifest = "".join(f"{_sum(content)}  {name}\n" for name, content in sorted(files.items())).encode()
    target = out.resolve()
    _refuse_foreign(target, out)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The new folder is complete before it takes the old one's place, on the same file system.
    scratch = target.with_name(f"{MANIFEST}-{os.getpid()}")
    scratch.mkdir(mode=0o700)
    try:
        new, old = scratch / "new", scratch / "old"
        for name, content in (files | {MANIFEST: manifest}).items():
            file = new / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise
    finally:
        _remove(scratch)


def _sum(content: bytes) -> str:
    """What tells a changed file; a stronger sum, of hashlib, takes longer to load than the pages to write."""
    return f"{zlib.crc32(content):08x}"


def _remove(folder: Path) -> None:
    """Remove a folder with whatever is in it."""
    if any(folder.iterdir()):
        import shutil  # here, since the first time there is nothing to remove

        shutil.rmtree(folder)
    else:
        folder.rmdir()


def _refuse_foreign(target: Path, out: Path) -> None:
    """Raise OutputError unless ``target`` is missing, empty, or as this program left it."""
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{out}: not a folder")
    written = {}
    manifest = target / MANIFEST
    if manifest.is_file():
        lines = manifest.read_text(encoding="utf-8", errors="replace").splitlines()
        written = {name: sum_ for sum_, _, name in (line.partition("  ") for line in lines)}
    folders = {os.path.dirname(name) for name in written}
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target).as_posix()
        if path.is_symlink():
            ours = False
        elif path.is_dir():
            ours = name in folders
        else:
            ours = name == MANIFEST or path.is_file() and written.get(name) == _sum(path.read_bytes())
        if not ours:
            raise OutputError(f"{out}: not written to, as {name} in it is not as this program wrote it")
