# SPDX-License-Identifier: MIT
"""The evidence: what is kept of a run, what a page claims by it, and the account of all commands."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from code_kinds import EXAMPLES, CodeBlock
from tests import guide
from tests.transcripts import accounts, evidence, plugin
from tests.transcripts import page as pages
from tests.transcripts.accounts import Outcomes
from tests.transcripts.evidence import Block, Evidence, Session

VERSIONS = {"Linux": "6.12.48-amd64", "nftables": "1.1.3", "iptables": "1.8.11 (nf_tables)", "OpenSSH": "10.0p1"}
NAME = "index"
PAGE = """
```console
root@node-a# echo one
```

::::{tabs}
:::{group-tab} nftables
```console
root@node-a# nft -f domain-0/firewall.nft
```
:::
:::{group-tab} iptables
```console
root@node-a# sh iptables.sh apply domain-0/firewall
```
:::
::::

```console
root@node-a# echo last
```

```{literalinclude} examples/domain-0/firewall.v6
```
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], guide.Page]:
    """Read a page with this text."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "examples").symlink_to(EXAMPLES)

    def make(text: str) -> guide.Page:
        (tmp_path / "source" / "index.md").write_text(f"---\ntopology: domain-0\n---\n(evidence)=\n# Page\n{text}")
        return guide.read(tmp_path / "source")[NAME]
    return make


def hashes(page: guide.Page, packet_filter: str = "nftables") -> dict[str, str]:
    """The hash of each block of a page by the last word of its text."""
    return {block.text.split()[-1]: sha256 for block, sha256 in evidence.hashes(
        guide.blocks(page), page.metadata, packet_filter)}


def ran(page: guide.Page, *packet_filters: str, date: str = "2026-11-23") -> Evidence:
    """The evidence of runs of a page."""
    blocks = guide.blocks(page)
    return Evidence([Session(
        NAME, packet_filter, date, VERSIONS,
        [Block("index.md:1", sha256, 0.5) for _, sha256 in evidence.hashes(blocks, page.metadata, packet_filter)],
        {str(path.relative_to(EXAMPLES)): evidence.hash_of_file(path)
         for block, _ in evidence.hashes(blocks, page.metadata, packet_filter) for path in evidence.examples_of(block)})
        for packet_filter in packet_filters])


ALL = ("nftables", "iptables-nft", "iptables-legacy")


# What a record is valid for


def test_a_change_ends_the_record_of_what_comes_after_it(make):
    before = hashes(make(PAGE))
    assert list(before) == ["one", "domain-0/firewall.nft", "last"]
    after = hashes(make(PAGE.replace("firewall.nft\n```", "firewall.nft # changed\n```")))
    assert before["one"] == after["one"]
    assert before["last"] != after["last"]
    assert "domain-0/firewall.nft" not in after


def test_a_change_in_another_tab_ends_nothing(make):
    before = hashes(make(PAGE))
    assert hashes(make(PAGE.replace("iptables.sh apply", "iptables.sh undo"))) == before


def test_a_change_of_any_example_ends_every_record(make, monkeypatch, tmp_path: Path):
    """One calls another, and a page's commands may read any."""
    page = make(PAGE)
    examples = tmp_path / "copy"
    shutil.copytree(EXAMPLES, examples)
    monkeypatch.setattr(evidence, "EXAMPLES", examples)
    before = hashes(page)
    for name in ("check_values.py", "domain-0/topology.toml", "domain-0/firewall.v6"):
        text = (examples / name).read_text()
        (examples / name).write_text(text + "# changed")
        assert not set(hashes(page).values()) & set(before.values())
        (examples / name).write_text(text)
        assert hashes(page) == before


def test_another_front_matter_ends_every_record(make):
    page = make(PAGE)
    before = hashes(page)
    for name in ("topology", "sshd", "needs"):
        other = guide.Page(page.name, page.metadata | {name: "node-b"}, page.doctree)
        assert not set(hashes(other).values()) & set(before.values())


def test_a_page_is_read_again_when_an_example_changes(make, tmp_path: Path):
    """What the page itself does not show counts as well."""
    make(PAGE.partition("```{literalinclude}")[0])
    with patch_docutils(str(guide.ROOT)), docutils_namespace():
        app = Sphinx(tmp_path / "source", guide.ROOT, tmp_path / "out", tmp_path / "doctrees", "dummy", status=None)
        app.build()
        noted = {(tmp_path / "source" / name).resolve() for name in app.env.dependencies[NAME]}
    assert {EXAMPLES / "domain-0" / "topology.toml", EXAMPLES / "check_values.py"} <= noted


@pytest.mark.parametrize(("command", "used"), [
    ("nft -f domain-0/firewall.nft", ["domain-0/firewall.nft"]),
    ("sh iptables.sh apply domain-0/firewall", ["iptables.sh", "domain-0/firewall.v4", "domain-0/firewall.v6"]),
    ("python3 check_values.py domain-0/firewall.nft", ["check_values.py"]),
    ("grep -q x domain-0/firewall.nft", []),
    ("true; cat domain-0/firewall.nft | nft -f -", []),
    ("nft -c -f domain-0/firewall.nft", []),
    ("cp domain-0/xen-rules.service /etc/systemd/system/", []),
    ("cp untrusted-subnet/xend-config.sxp /etc/xen/xend-config.sxp", ["untrusted-subnet/xend-config.sxp"]),
    ("sh iptables.sh undo domain-0/firewall", ["iptables.sh"]),
    ("true # nft -f domain-0/firewall.nft", []),
    ("sh undo-in.sh 60 nft -f domain-0/firewall.nft", ["undo-in.sh"]),
    ("echo a >domain-0/firewall.nft", []),
    ("ls domain-0 /etc/hosts ../conf.py", []),
    ("install -m 755 domain-0/xl-receive.sh /usr/local/sbin/xl-receive", ["domain-0/xl-receive.sh"]),
    ("install -d -m 700 /etc/xen/migration", []),
    ("cat domain-0/libvirtd.conf >>/etc/libvirt/libvirtd.conf", ["domain-0/libvirtd.conf"]),
    ("cat domain-0/libvirtd.conf", []),
    ("true # cat domain-0/libvirtd.conf >>/etc/libvirt/libvirtd.conf", []),
])
def test_the_files_that_a_command_uses(command: str, used: list[str]):
    block = CodeBlock("transcript", "console", f"root@node-a# {command}", "page.md", 1)
    assert [str(path.relative_to(EXAMPLES)) for path in evidence.examples_of(block)] == used


@pytest.mark.parametrize(("text", "commands"), [
    ("ss -Hltn", ["ss -Hltn"]),
    ("ss  -Hltn | grep x && echo y; exit", ["ss -Hltn", "grep x", "echo y", "exit"]),
    ("until ss -l; do sleep 1; done", ["ss -l", "sleep 1"]),
    ("for p in 1 2; do nc -z $p; done", ["nc -z $p"]),
    ("nft -f x 2>&1 >/dev/null", ["nft -f x"]),
    ("echo 'a; b' \"c | d\"", ["echo a; b c | d"]),
    ("nc -l 80 &", ["nc -l 80"]),
    ("cat <<'EOF' >x; ls a\nrm b\nEOF", ["cat", "ls a"]),
    ("nc -l \\\n  80", ["nc -l 80"]),
    ("ls a # rm b", ["ls a"]),
    ("echo 'no end", ["echo 'no end"]),
    ("pid=$(cat f); LANG=C ls a=b", ["cat f", "ls a=b"]),
])
def test_the_commands_that_a_line_is_made_of(text: str, commands: list[str]):
    assert pages.simple_commands(text) == commands


def test_evidence_is_what_was_saved(make, tmp_path: Path):
    assert evidence.load(tmp_path / "none.json") == Evidence()
    kept = ran(make(PAGE), *ALL)
    kept.tests["tests/test_x.py::test_y"] = ["2026-11-23", "0"]
    evidence.save(kept, tmp_path / "evidence.json")
    assert evidence.load(tmp_path / "evidence.json") == kept
    assert [path.name for path in tmp_path.glob("evidence.*")] == ["evidence.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sessions": [{}], "tests": {}}',
                                  '{"sessions": [1], "tests": {}}', '{"sessions": [], "tests": []}',
                                  '{"sessions": [], "tests": {"a": ["yesterday", "0"]}}'])
def test_a_file_that_is_no_evidence_claims_nothing(tmp_path: Path, text: str):
    (tmp_path / "evidence.json").write_text(text)
    assert evidence.load(tmp_path / "evidence.json") == Evidence()


# What a page shows


@pytest.fixture
def built(make, monkeypatch, tmp_path: Path) -> Callable[..., str]:
    """Build the page with some evidence; returns what was written."""
    out = tmp_path / "out"

    def built(text: str, kept: Evidence | None, builder: str = "text") -> str:
        file = tmp_path / "evidence.json"
        file.unlink(missing_ok=True)
        if kept is not None:
            evidence.save(kept, file)
        monkeypatch.setattr(evidence, "FILE", file)
        monkeypatch.setattr(evidence.load, "__defaults__", (file,))
        make(text)
        with patch_docutils(str(guide.ROOT)), docutils_namespace():
            Sphinx(tmp_path / "source", guide.ROOT, out, tmp_path / "doctrees", builder, status=None,
                   warning=None).build()
        return {"text": out / "index.txt", "html": out / "index.html", "man": out / "securing-xen.7",
                "latex": out / "securing-xen.tex"}[builder].read_text()
    return built


NOT_YET = "not run yet, as it stands here"
NFT = "run on Linux 6.12, nftables 1.1.3, 23 Nov 2026"
IPTABLES = "run on Linux 6.12, iptables 1.8.11 (nft and legacy), 23 Nov 2026"
BOTH = "run on Linux 6.12, nftables 1.1.3, iptables 1.8.11 (nft and legacy), 23 Nov 2026"


def lines(text: str) -> list[str]:
    """What the page says below its blocks, in order."""
    return [part for part in guide.words(text).replace("run on", "\nrun on").replace(NOT_YET, f"\n{NOT_YET}\n")
            .replace("Nov 2026", "Nov 2026\n").splitlines() if part.startswith(("run on", NOT_YET))]


def test_a_page_shows_what_ran_each_block(make, built):
    kept = ran(make(PAGE), *ALL)
    assert lines(built(PAGE, kept)) == [BOTH, NFT, IPTABLES, BOTH, IPTABLES]


def test_without_evidence_nothing_was_run(built):
    assert lines(built(PAGE, None)) == [NOT_YET] * 5


def test_a_block_that_was_changed_was_not_run(make, built):
    kept = ran(make(PAGE), *ALL)
    assert lines(built(PAGE.replace("echo last", "echo Last"), kept)) == [BOTH, NFT, IPTABLES, NOT_YET, IPTABLES]
    assert lines(built(PAGE.replace("echo one", "echo two"), kept)) == [NOT_YET] * 4 + [IPTABLES]
    assert lines(built(PAGE, kept)) == [BOTH, NFT, IPTABLES, BOTH, IPTABLES]


def test_a_block_counts_once_all_packet_filters_have_run_it(make, built):
    kept = ran(make(PAGE), "nftables", "iptables-nft")
    assert lines(built(PAGE, kept))[:4] == [NOT_YET, NFT, NOT_YET, NOT_YET]


def test_a_file_that_was_changed_was_not_run(make, built):
    kept = ran(make(PAGE), *ALL)
    for session in kept.sessions:
        session.examples["domain-0/firewall.v6"] = "0" * 64
    assert lines(built(PAGE, kept))[-1] == NOT_YET


def test_a_file_that_no_transcript_can_apply_is_tested(make, built):
    """A systemd unit: the page names no kernel, and claims nothing once its test is another."""
    unit = "```{literalinclude} examples/domain-0/xen-rules.service\n```\n"
    kept = ran(make(unit))
    test = evidence.TESTED["domain-0/xen-rules.service"]
    kept.tests[test] = ["2026-11-23", evidence.hash_of_test(test)]
    assert "tested 23 Nov 2026" in built(unit, kept)
    kept.tests[test] = ["2026-11-23", "0"]
    assert lines(built(unit, kept)) == [NOT_YET]


def test_the_day_is_that_of_the_oldest_run(make, built):
    page = make(PAGE)
    kept = Evidence(ran(page, "nftables", "iptables-nft").sessions
                    + ran(page, "iptables-legacy", date="2026-11-03").sessions)
    assert "3 Nov 2026" in lines(built(PAGE, kept))[0]
    assert lines(built(PAGE, kept))[1] == NFT


def test_the_line_in_each_format(make, built):
    kept = ran(make(PAGE), *ALL)
    html = built(PAGE, kept, "html")
    assert html.count('<p class="evidence"><a class="reference internal" href="#evidence">') == 5
    assert r"\DUrole{evidence}" in built(PAGE, kept, "latex")
    man = built(PAGE, kept, "man").replace("\\-", "-")
    assert lines(man) == [BOTH, NFT, IPTABLES, BOTH, IPTABLES]


TABLE = PAGE + """
Say {run}`nft list tables <root@node-a>`, `echo last`, `nft flush ruleset`,
{tested}`kill -9 <tests/test_lab.py::test_y>`,
{tested}`kill -8 <tests/test_lab.py::test_z>`, {not-run}`xe host-list <no XAPI>`.

```{evidence}
```
"""


def rows(html: str) -> list[list[str]]:
    """The cells of the table."""
    return [[cell.get_text() for cell in row.select("td")]
            for row in BeautifulSoup(html, "html.parser").select("table.evidence tbody tr")]


def test_the_table_has_everything(make, built):
    kept = ran(make(TABLE), *ALL)
    test = "tests/test_lab.py::test_y"
    kept.tests[test] = ["2026-11-20", evidence.hash_of_test(test)]
    iptables = "iptables 1.8.11 (nft and legacy), 23 Nov 2026"
    both = f"nftables 1.1.3, {iptables}"
    expected = {
        "root@node-a# echo one": (both, "0.50"),
        "root@node-a# nft -f domain-0/firewall.nft": ("nftables 1.1.3, 23 Nov 2026", "0.50"),
        "root@node-a# sh iptables.sh apply domain-0/firewall": (iptables, "0.50"),
        "root@node-a# echo last": (both, "0.50"),
        "domain-0/firewall.v6": (iptables, ""),
        "root@node-a# nft list tables": (both, "0.50"),
        "echo last": (both, "0.50"),
        "nft flush ruleset": (NOT_YET, ""),
        "kill -9": (f"{test}, 20 Nov 2026", ""),
        "kill -8": (NOT_YET, ""),
        "xe host-list": ("not run: no XAPI", ""),
    }
    assert {command: (what, seconds) for command, what, seconds in rows(built(TABLE, kept, "html"))} == expected


@pytest.mark.parametrize("builder", ["text", "man", "latex"])
def test_formats_without_the_table_say_where_it_is(make, built, builder: str):
    text = built(TABLE, ran(make(TABLE), *ALL), builder).replace("\\-", "-")
    assert "It is in the HTML of this guide, on this page:" in guide.words(text) and "index.html" in text
    assert "0.50" not in text


def test_html_is_written_again_when_the_evidence_is_another(make, built):
    kept = ran(make(PAGE), *ALL)
    assert NFT in guide.words(built(PAGE, kept, "html"))
    assert NFT not in guide.words(built(PAGE, None, "html"))


# The account


BLOCKS = {NAME: [
    CodeBlock("transcript", "console", "root@node-a# ss -l\nLISTEN\nroot@node-a# ip a", "a.md", 1),
    CodeBlock("transcript", "console", "root@node-a# nft -f x", "a.md", 9, tabs=frozenset({"nftables"})),
    CodeBlock("transcript", "console", "root@node-a# iptables -S", "a.md", 19, tabs=frozenset({"iptables"})),
    CodeBlock("example", "nft", "table", "a.md", 29, example=EXAMPLES / "domain-0/firewall.nft"),
    CodeBlock("doctest", "pycon", ">>> 1\n1", "a.md", 39),
    CodeBlock("tested", "console", "kill -9", "a.md", 49, inline=True,
              tests=("tests/t.py::test_a", "tests/t.py::test_b")),
    CodeBlock("mention", "console", "ip a", "a.md", 59, inline=True),
    CodeBlock("not-run", "console", "root@a# xe x\nroot@a# xe y", "a.md", 69, reason="no XAPI"),
]}


def outcomes() -> Outcomes:
    def session(packet_filter: str, *places: str) -> Session:
        return Session(NAME, packet_filter, "2026-11-23", VERSIONS, [Block(place, "", 0) for place in places])
    done = Outcomes([session("nftables", "a.md:1", "a.md:9"), session("iptables-nft", "a.md:1", "a.md:19"),
                     session("iptables-legacy", "a.md:1", "a.md:19")])
    done.sessions[0].examples["domain-0/firewall.nft"] = evidence.hash_of_file(EXAMPLES / "domain-0/firewall.nft")
    done.tests = {"tests/t.py::test_a": "passed", "tests/t.py::test_b": "passed", f"source/{NAME}.md": "passed"}
    return done


def test_the_account_of_a_run_that_leaves_nothing_out():
    result = accounts.account(BLOCKS, outcomes())
    assert str(result) == ("commands on the pages: 8 run, 0 run only on Xen, 2 not run (reasons listed), "
                           "0 unaccounted")
    assert result.reasons == {"no XAPI": 2}


def leave_out_a_block(done: Outcomes) -> None:
    del done.sessions[2].blocks[1]


def leave_out_a_session(done: Outcomes) -> None:
    del done.sessions[0]


def leave_out_a_test(done: Outcomes) -> None:
    del done.tests["tests/t.py::test_b"]


def leave_out_the_doctest(done: Outcomes) -> None:
    del done.tests[f"source/{NAME}.md"]


def another_file(done: Outcomes) -> None:
    done.sessions[0].examples["domain-0/firewall.nft"] = "0"


def fail_a_session(done: Outcomes) -> None:
    done.sessions.pop(0)
    done.failed.add((NAME, "nftables"))


def skip_a_session(done: Outcomes) -> None:
    done.sessions.pop(0)
    done.skipped.add((NAME, "nftables"))


def fail_a_test(done: Outcomes) -> None:
    done.tests["tests/t.py::test_a"] = "failed"


@pytest.mark.parametrize(("change", "unaccounted", "counts"), [
    (leave_out_a_block, ["a.md:19: root@node-a# iptables -S"], {"run": 7}),
    (leave_out_a_session, ["a.md:1: root@node-a# ss -l"] * 2 + ["a.md:9: root@node-a# nft -f x", "a.md:29: table",
                                                                "a.md:59: ip a"], {"run": 3}),
    (leave_out_a_test, ["a.md:49: kill -9"], {"run": 7}),
    (leave_out_the_doctest, ["a.md:39: >>> 1"], {"run": 7}),
    (another_file, ["a.md:29: table"], {"run": 7}),
    (fail_a_session, [], {"run": 3, "failed": 5}),
    (skip_a_session, [], {"run": 3, "skipped": 5}),
    (fail_a_test, [], {"run": 7, "failed": 1}),
])
def test_the_account_of_a_run_that_does(change, unaccounted: list[str], counts: dict[str, int]):
    done = outcomes()
    change(done)
    result = accounts.account(BLOCKS, done)
    assert result.unaccounted == unaccounted
    assert {name: number for name, number in result.counts.items() if number} == counts | {"not-run": 2}
    assert str(result).endswith(f"{len(unaccounted)} unaccounted")


def test_what_only_a_test_on_xen_tries_is_run_there():
    name, test = "isolated-management-network/libvirtd-tls-listen.conf", "tests/xen/test_reboot.py::test_no_open_moment"
    blocks = {NAME: [CodeBlock("example", "ini", "[Socket]", "a.md", 1, example=EXAMPLES / name)]}
    assert accounts.account(blocks, outcomes()).counts == {"xen": 1}
    done = outcomes()
    done.tests[test] = "failed"
    assert accounts.account(blocks, done).counts == {"failed": 1}


def test_a_piece_of_no_kind_is_unaccounted():
    blocks = {NAME: [CodeBlock("", "sh", "rm x", "a.md", 1),
                     CodeBlock("mention", "console", "ip link", "a.md", 2, inline=True)]}
    assert accounts.account(blocks, outcomes()).unaccounted == ["a.md:1: rm x", "a.md:2: ip link"]


# What pytest keeps


@pytest.fixture
def keeper(monkeypatch, tmp_path: Path) -> plugin.KeepEvidence:
    monkeypatch.setattr(plugin.guide, "pages", lambda: {NAME: SimpleNamespace(name=NAME)})
    monkeypatch.setattr(plugin.guide, "blocks", lambda page: BLOCKS[NAME])
    monkeypatch.setattr(evidence.save, "__defaults__", (tmp_path / "evidence.json",))
    monkeypatch.setattr(evidence.load, "__defaults__", (tmp_path / "evidence.json",))
    return plugin.KeepEvidence(all_selected=True)


def report(keeper: plugin.KeepEvidence, name: str, outcome: str, *properties: tuple) -> None:
    """Hand the keeper what pytest does, after a way through JSON, as between processes."""
    keeper.pytest_runtest_logreport(pytest.TestReport(
        name, ("file", 1, name), {}, outcome, None, "call", user_properties=json.loads(json.dumps(properties))))


def finish(keeper: plugin.KeepEvidence) -> int:
    session = SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    keeper.pytest_sessionfinish(session)
    return session.exitstatus


def report_all(keeper: plugin.KeepEvidence, done: Outcomes) -> None:
    for session in done.sessions:
        report(keeper, f"tests/test_transcripts.py::test_page[{session.packet_filter}]", "passed",
               (plugin.CASE, [session.page, session.packet_filter]), plugin.property_of(session))
    for name, outcome in done.tests.items():
        report(keeper, name if "::" in name else f"{name}::{name}", outcome)


def test_a_whole_run_is_kept_and_counted(keeper):
    report_all(keeper, outcomes())
    assert finish(keeper) == pytest.ExitCode.OK
    assert str(keeper.account) == str(accounts.account(BLOCKS, outcomes()))
    kept = evidence.load()
    assert sorted(session.packet_filter for session in kept.sessions) == sorted(ALL)
    assert set(kept.tests) >= {"tests/t.py::test_a", "tests/t.py::test_b"}


def test_a_whole_run_that_leaves_something_out_fails(keeper):
    done = outcomes()
    del done.sessions[1].blocks[1]
    report_all(keeper, done)
    assert finish(keeper) == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(("outcome", "left"), [("failed", []), ("skipped", ["nftables"])])
def test_a_page_that_fails_loses_its_record_and_one_that_is_skipped_keeps_it(keeper, outcome: str, left: list[str]):
    evidence.save(Evidence(outcomes().sessions[:1], {"tests/t.py::test_a": ["2026-11-01", "0"]}))
    report(keeper, "tests/test_transcripts.py::test_page[x]", outcome, (plugin.CASE, [NAME, "nftables"]))
    finish(keeper)
    assert keeper.account is None
    assert [session.packet_filter for session in evidence.load().sessions] == left
    assert evidence.load().tests == {"tests/t.py::test_a": ["2026-11-01", "0"]}


def test_a_test_counts_as_passed_when_all_its_cases_are(keeper):
    report_all(keeper, outcomes())
    report(keeper, "tests/t.py::test_a[again]", "failed")
    report(keeper, "tests/t.py::test_a[third]", "passed")
    finish(keeper)
    assert "tests/t.py::test_a" not in evidence.load().tests
    assert keeper.account.counts["failed"] == 1


def test_a_run_without_pages_keeps_nothing(keeper, tmp_path: Path):
    report(keeper, "tests/t.py::test_a", "passed")
    finish(keeper)
    assert not (tmp_path / "evidence.json").exists()


def test_a_part_of_the_tests_can_end_the_record_of_a_test_and_not_make_one(keeper):
    keeper.all_selected = False
    evidence.save(Evidence([], {"tests/t.py::test_b": ["2026-11-01", "0"]}))
    done = outcomes()
    done.tests["tests/t.py::test_b"] = "failed"
    report_all(keeper, done)
    finish(keeper)
    assert keeper.account is None
    assert evidence.load().tests == {}
    assert len(evidence.load().sessions) == 3


ON_XEN = "tests/xen/test_reboot.py::test_no_open_moment"


@pytest.mark.parametrize("whole", [True, False])
def test_a_test_on_xen_has_a_record_by_a_whole_run_on_xen(keeper, whole: bool):
    keeper.all_selected, keeper.all_on_xen = False, whole
    report(keeper, ON_XEN, "passed")
    report(keeper, "tests/xen/test_transcripts.py::test_page[x]", "skipped", (plugin.CASE, [NAME, "xen-4.17"]))
    finish(keeper)
    assert bool(evidence.load().of_test(ON_XEN)) == whole


def test_a_whole_run_without_xen_keeps_the_record_of_a_test_on_xen(keeper):
    evidence.save(Evidence([], {ON_XEN: ["2026-11-01", "0"]}))
    report_all(keeper, outcomes())
    finish(keeper)
    assert evidence.load().tests[ON_XEN] == ["2026-11-01", "0"]


def test_a_test_that_is_named_and_was_not_there_is_unaccounted(keeper):
    done = outcomes()
    del done.tests["tests/t.py::test_b"]
    report_all(keeper, done)
    assert finish(keeper) == pytest.ExitCode.TESTS_FAILED
    assert keeper.account.unaccounted == ["a.md:49: kill -9"]


def test_a_worker_that_dies_ends_the_record_of_its_page(keeper):
    """The report of such a test says its name and no more."""
    evidence.save(Evidence(outcomes().sessions[:1]))
    report(keeper, f"tests/test_transcripts.py::test_page[{NAME}-nftables]", "failed")
    finish(keeper)
    assert evidence.load().sessions == []


def test_examples_that_are_changed_meanwhile_are_no_evidence(keeper, monkeypatch, tmp_path: Path):
    report_all(keeper, outcomes())
    monkeypatch.setattr(evidence, "hash_of_surroundings", lambda: "other")
    finish(keeper)
    assert "changed while" in keeper.remark and not (tmp_path / "evidence.json").exists()
