# SPDX-License-Identifier: MIT
"""What a maintainer gets wrong: each time one line that says where, and no traceback."""
from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from sphinx.errors import SphinxError

import mistakes
from tests import guide
from tests.lab import topology

HOSTS = "---\ntopology: domain-0\n---\n"


def says(tmp_path: Path, text: str) -> str:
    """What a build of one page complains of, in its only line but for Sphinx's own last words."""
    (tmp_path / "index.md").write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError) as error:
        guide.sphinx("html", tmp_path / "out", source=tmp_path)
    lines = [line for line in str(error.value.args[0]).splitlines() if re.search("WARNING|ERROR", line)]
    assert "Traceback" not in str(error.value) and len(lines) == 1, error.value
    return lines[0].removeprefix(f"{tmp_path}/")


@pytest.mark.parametrize(("page", "complaint"), [
    (f"{HOSTS}# Page\n\nWords.\n\n```console\nrot@node-a# ls\n```\n",
     "index.md:9: WARNING: rot@node-a# ls: a prompt is root@HOST# or user@HOST$"),
    (f"{HOSTS}# Page\n\nWords.\n\n```console\nroot@node-a# ls\nroot@node-a# cat <<END\n```\n",
     "index.md:10: WARNING: root@node-a# cat <<END: the copy button knows no here-document but <<EOF"),
    ("# Page\n\nWords.\n\n```console\nroot@node-a# ls\n```\n", "a transcript needs hosts: topology: NAME"),
    ("---\ntopolgy: domain-0\n---\n# Page\n\nWords.\n\n```console\nroot@node-a# ls\n```\n",
     "a transcript needs hosts: topology: NAME"),
    ("---\ntopology: domain-9\n---\n# Page\n\nWords.\n", "topology: domain-9: there is no such topology"),
    ("# Page\n\nWords.\n\n```{literalinclude} none.sh\n:language: sh\n```\n",
     "none.sh' not found or reading it failed"),
    ("# Page\n\nWords.\n\n:::{measured} nothing\n:::\n", '"nothing" unknown; choose from "reading", or "passing"'),
    ("# Page\n\nWords.\n\n:::{topology} domain-9\n:::\n", "domain-9: there is no such topology"),
], ids=["prompt", "here-document", "no topology", "mistyped", "unknown topology", "missing file", "measured",
        "no picture"])
def test_a_mistake_on_a_page_is_told_in_a_line(tmp_path: Path, page: str, complaint: str):
    assert complaint in says(tmp_path, page)


@pytest.mark.parametrize(("change", "complaint"), [
    (('role = "router"', ""), "examples/domain-0/topology.toml: router: role: missing"),
    (('title = "Domain-0"', "title "), "examples/domain-0/topology.toml: Expected '='"),
    (('"198.51.100.0/24"', '"198.51.100.0/25"'),
     "examples/isolated-management-network/topology.toml: admin_network has another value elsewhere, 198.51.100.0/25"),
])
def test_a_mistake_in_a_topology_is_told_in_a_line(tmp_path: Path, monkeypatch, change, complaint: str):
    shutil.copytree(guide.ROOT / "examples", tmp_path / "examples")
    monkeypatch.setattr(mistakes, "EXAMPLES", tmp_path / "examples")
    monkeypatch.setattr(topology, "EXAMPLES", tmp_path / "examples")
    mistakes.check_topologies(None)
    file = tmp_path / "examples/domain-0/topology.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(change[0], change[1]), encoding="utf-8")
    with pytest.raises(SphinxError) as error:
        mistakes.check_topologies(None)
    assert complaint in str(error.value) and "\n" not in str(error.value)
