# SPDX-License-Identifier: MIT
"""Read every page again when one of these extensions has changed; Sphinx itself looks at the pages only."""
from __future__ import annotations

import hashlib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata


def version_of_extensions() -> int:
    """A number that changes with any extension of the guide, or with what they take from elsewhere."""
    here = Path(__file__).resolve().parent
    files = [*here.glob("*.py")]
    for taken in ("latex/*.py", "latex/converter/*.py", "tests/transcripts/*.py", "tests/lab/filters.py",
                  "tests/lab/topology.py"):
        files += here.parents[1].glob(taken)
    files.sort()
    return int(hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12], 16)


def setup(app: Sphinx) -> ExtensionMetadata:
    return {"env_version": version_of_extensions(), "parallel_read_safe": True, "parallel_write_safe": True}
