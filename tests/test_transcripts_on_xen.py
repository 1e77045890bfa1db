# SPDX-License-Identifier: MIT
"""Blocks that only real Xen nodes can run: which they are, what runs them, how they count, and what is shown."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from code_kinds import CodeBlock, code_blocks
from evidence import remark  # source/_ext
from tests import guide
from tests.transcripts import accounts, evidence
from tests.transcripts import page as pages
from tests.transcripts.accounts import Outcomes
from tests.transcripts.evidence import Block, Evidence, Session
from tests.transcripts.plugin import KeepEvidence

PAGE = """---
topology: domain-0
---
# Page

```console
root@node-a# echo plain
```

```{code-block} console
:xen:

root@node-a# xl list
root@node-a# xl info
```

::::{tabs}
:::{group-tab} nftables
```console
root@node-a# nft list tables
```
:::
:::{group-tab} iptables
```console
root@node-a# iptables -S
```
:::
::::
"""
FILTERS = ["nftables", "iptables-nft", "iptables-legacy"]
XEN = ["xen-4.17", "xen-4.20"]


@pytest.fixture
def blocks(tmp_path: Path) -> list[CodeBlock]:
    (tmp_path / "index.md").write_text(PAGE)
    return list(code_blocks(guide.read(tmp_path)["index"].doctree, "domain-0"))


def texts(blocks: list[CodeBlock], name: str) -> list[str]:
    return [block.text.split("\n")[0].partition(" ")[2] for block in pages.transcripts(blocks, name)]


def test_what_runs_a_block(blocks):
    assert [case for _, case in pages.cases({"p": blocks})] == FILTERS + XEN
    assert texts(blocks, "nftables") == ["echo plain", "nft list tables"]
    assert texts(blocks, "iptables-legacy") == ["echo plain", "iptables -S"]
    assert texts(blocks, "xen-4.17") == texts(blocks, "xen-4.20") == ["xl list"]
    on_xen, = (block for block in blocks if block.xen)
    assert pages.filters_of(blocks, on_xen) == XEN


def test_a_page_of_nothing_else_runs_nowhere_else(blocks):
    assert [case for _, case in pages.cases({"p": [block for block in blocks if block.xen]})] == XEN


def test_they_count_as_run_only_on_xen(blocks):
    def session(name: str) -> Session:
        return Session("p", name, "2026-11-25", {}, [Block(pages.where(block), "", 0)
                                                     for block in pages.transcripts(blocks, name)])
    result = accounts.account({"p": blocks}, Outcomes([session(name) for name in FILTERS]))
    assert str(result) == "commands on the pages: 3 run, 2 run only on Xen, 0 not run (reasons listed), 0 unaccounted"


def test_an_example_that_only_xen_applies_counts_as_run_only_there():
    def example(name: str) -> CodeBlock:
        return CodeBlock("example", "text", name, "p.md", 1, example=evidence.EXAMPLES / name)
    applied = CodeBlock("transcript", "console", "root@node-a# install -m 755 domain-0/xl-receive.sh /usr/local/sbin/",
                        "p.md", 1, xen=True)
    result = accounts.account({"p": [applied, example("domain-0/xl-receive.sh"), example("iptables.sh")]}, Outcomes())
    assert (result.counts["xen"], result.unaccounted) == (2, ["p.md:1: iptables.sh"])


def on(name: str, versions: dict[str, str]) -> Session:
    return Session("p", name, "2026-11-25", versions, [])


def test_the_line_names_each_xen():
    found = [on("xen-4.17", {"Xen": "4.17.7", "Linux": "6.1.0-56-amd64"}),
             on("xen-4.20", {"Xen": "4.20.5-pre", "Linux": "6.12.118+deb13-amd64"})]
    assert remark(found) == "run on Xen 4.17.7 with Linux 6.1, Xen 4.20.5-pre with Linux 6.12, 25 Nov 2026"
    found.insert(0, on("nftables", {"Linux": "6.18.5", "nftables": "1.0.6"}))
    assert remark(found).startswith("run on Linux 6.18, nftables 1.0.6, Xen 4.17.7 with Linux 6.1, ")


def test_a_whole_run_elsewhere_keeps_what_xen_ran(monkeypatch):
    kept = Evidence([on("nftables", {}), on("xen-4.17", {}), on("gone", {})], {"tests/t.py::test_old": "2026-11-01"})
    monkeypatch.setattr(evidence, "load", lambda: kept)
    plugin = KeepEvidence(SimpleNamespace())
    plugin.cases = {("p", "nftables")}
    plugin.outcomes.sessions = [on("nftables", {"nftables": "1.1.3"})]
    after = plugin._evidence(whole=True)
    assert [(session.packet_filter, session.versions) for session in after.sessions] == [
        ("nftables", {"nftables": "1.1.3"}), ("xen-4.17", {})]
    assert after.tests == {}
