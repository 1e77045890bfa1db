# SPDX-License-Identifier: MIT
"""The folder that is written: whole or not at all, and never over what somebody else wrote."""
from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


class OutputError(Exception):
    """An output folder that is not written to; the message is one line."""


MANIFEST = ".tex2myst"  # what this program wrote to a folder, in the form of sha256sum


def write(files: dict[str, bytes], out: Path) -> None:
    """Make ``out`` hold these files and no others: all of them, or it stays as it was.

    Raises OutputError if ``out`` holds anything that an earlier call did not
    write, or that was changed since, and OSError if it cannot be written.
    """
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    manifest = "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()
    target = out.resolve()
    _refuse_foreign(target, out)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The new folder is complete before it takes the old one's place, on the same file system.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tex2myst-") as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
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
        written = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    folders = {os.path.dirname(name) for name in written}
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target).as_posix()
        ours = path.is_file() and not path.is_symlink() and (
            name == MANIFEST or written.get(name) == hashlib.sha256(path.read_bytes()).hexdigest()
        )
        if not ours and not (path.is_dir() and name in folders):
            raise OutputError(f"{out}: not written to, as {name} in it is not as this program wrote it")
