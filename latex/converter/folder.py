# SPDX-License-Identifier: MIT
"""The folder that is written: whole or not at all, and never over what somebody else wrote."""
from __future__ import annotations

import os
import zlib


class OutputError(Exception):
    """An output folder that is not written to; the message is one line."""


MANIFEST = ".tex2myst"  # what this program wrote to a folder: on each line a sum and a name


def write(files: dict[str, bytes], out: os.PathLike | str) -> None:
    """Make ``out`` hold these files and no others: all of them, or it stays as it was.

    Raises OutputError if ``out`` holds anything that an earlier call did not
    write, or that was changed since, and OSError if it cannot be written.
    """
    manifest = "".join(f"{_sum(content)}  {name}\n" for name, content in sorted(files.items())).encode()
    target = os.path.realpath(out)
    _refuse_foreign(target, out)
    parent = os.path.dirname(target)
    os.makedirs(parent, exist_ok=True)
    # The new folder is complete before it takes the old one's place, on the same file system.
    scratch = os.path.join(parent, f"{MANIFEST}-{os.getpid()}")
    os.mkdir(scratch, mode=0o700)
    try:
        new, old = os.path.join(scratch, "new"), os.path.join(scratch, "old")
        for name, content in (files | {MANIFEST: manifest}).items():
            path = os.path.join(new, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        if os.path.exists(target):
            os.rename(target, old)
        try:
            os.rename(new, target)
        except BaseException:
            if os.path.exists(old):
                os.rename(old, target)
            raise
    finally:
        _remove(scratch)


def _sum(content: bytes) -> str:
    """What tells a changed file; a stronger sum, of hashlib, takes longer to load than the pages to write."""
    return f"{zlib.crc32(content):08x}"


def _remove(folder: str) -> None:
    """Remove a folder with whatever is in it."""
    if os.listdir(folder):
        import shutil  # here, since the first time there is nothing to remove

        shutil.rmtree(folder)
    else:
        os.rmdir(folder)


def _refuse_foreign(target: str, out: os.PathLike | str) -> None:
    """Raise OutputError unless ``target`` is missing, empty, or as this program left it."""
    if not os.path.exists(target):
        return
    if not os.path.isdir(target):
        raise OutputError(f"{out}: not a folder")
    written = {}
    manifest = os.path.join(target, MANIFEST)
    if os.path.isfile(manifest):
        lines = _content(manifest).decode(errors="replace").splitlines()
        written = {name: sum_ for sum_, _, name in (line.partition("  ") for line in lines)}
    folders = {os.path.dirname(name) for name in written}
    there = [os.path.relpath(os.path.join(folder, name), target)
             for folder, *names in os.walk(target) for name in sum(names, [])]
    for name in sorted(there):
        path = os.path.join(target, name)
        if os.path.islink(path):
            ours = False
        elif os.path.isdir(path):
            ours = name in folders
        else:
            ours = name == MANIFEST or os.path.isfile(path) and written.get(name) == _sum(_content(path))
        if not ours:
            raise OutputError(f"{out}: not written to, as {name} in it is not as this program wrote it")


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
