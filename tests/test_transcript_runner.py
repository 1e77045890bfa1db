# SPDX-License-Identifier: MIT
"""The runner of transcripts, on small pages made for it: what passes, and what must not."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import conf
from code_kinds import PROMPT, CodeBlock, code_blocks
from tests import guide
from tests.lab import namespaces, skip
from tests.lab.namespaces import Lab
from tests.transcripts import hosts, output, session
from tests.transcripts import page as pages
from tests.transcripts.page import PageError


def transcript(text: str) -> CodeBlock:
    return CodeBlock("transcript", "console", text, "page.md", 10)


@pytest.fixture(scope="module")
def one_lab() -> Iterator[Lab]:
    skip.without_lab(namespaces.why_not())
    with Lab("domain-0") as lab:
        yield lab


@pytest.fixture
def lab(one_lab: Lab) -> Iterator[Lab]:
    """One lab for all tests, because most take less time than it does; the rules are removed after each."""
    yield one_lab
    for name in ("node-a", "outsider"):
        one_lab[name].sh("nft flush ruleset")


@pytest.fixture
def run(lab: Lab) -> Callable[..., list[str]]:
    """Run a page whose blocks have these texts."""
    def run(*texts: str, limit: float = 20, commands: list[pages.Command] | None = None) -> list[str]:
        commands = commands or [command for text in texts for command in pages.commands(transcript(text))]
        return session.run(lab, commands, limit).failures
    return run


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], list[CodeBlock]]:
    """The blocks of a page, read as the guide is."""
    def read(text: str) -> list[CodeBlock]:
        (tmp_path / "index.md").write_text(f"---\ntopology: domain-0\n---\n# Page\n\n{text}")
        return list(code_blocks(guide.read(tmp_path)["index"].doctree, "domain-0"))
    return read


# A page that passes


@pytest.mark.parametrize("text", [
    "root@node-a# true",
    "root@node-a# echo out; echo err >&2\nout\nerr",
    "root@node-a# ls /nonexistent\nls: cannot access '/nonexistent': No such file or directory",
    "root@node-a# echo one; echo two; echo three\none\n...\nthree",
    "root@node-a# echo one\none\n...",
    "root@node-a# echo 'a 1 b 2'\na [..] b [..]",
    r"root@node-a# printf '\t\ttcp dport 8002 drop\n'" + "\n[..]tcp dport 8002 drop",
    r"root@node-a# printf '\tx  \n\n'" + "\n        x",
    "root@node-a# printf 'no end of line'\nno end of line",
    "root@node-a# false\nroot@node-a# echo $?\n1",
    "root@node-a# false\nuser@node-a$ true\nroot@node-a# echo $?\n1",
    "root@node-a# echo 'x 1.5 (y) \\ [z] *'\nx 1.5 (y) \\ [z] *",
    "root@node-a# cat",
    "root@node-a# [ -e domain-0/firewall.nft ]",
    "user@node-a$ [ -e domain-0/firewall.nft ]",
    "root@node-a# hostname\nnode-a\nroot@outsider# hostname\noutsider",
])
def test_it_is_as_the_page_says(run, text: str):
    assert run(text) == []


def test_the_state_of_a_shell_lasts_through_the_page(run):
    assert run("root@node-a# name=value; cd /etc; waiting() { jobs -r | grep -c sleep; }",
               "root@outsider# echo \"[$name]\"; pwd\n[]\n/run/examples",
               "user@node-a$ echo \"[$name]\"; pwd\n[]\n/run/examples",
               "root@node-a# sleep 100 &",
               "root@node-a# echo $name; pwd; waiting\nvalue\n/etc\n1") == []


def test_a_background_job_neither_blocks_nor_speaks(run):
    assert run("root@node-a# sleep 100 &", "root@node-a# echo next\nnext", "root@node-a# kill %1",
               "root@node-a# echo after\nafter") == []


def test_the_number_of_a_killed_job_is_free_for_the_next(run):
    assert run(*["root@node-a# sleep 100 &\nroot@node-a# kill %1"] * 20) == []


def test_lines_that_belong_to_a_command(run):
    assert run("root@node-a# echo one \\\n  two\none two",
               "root@node-a# cat <<'EOF' >/run/x; \\\ntail -2 /run/x\n"
               "root@node-a# no prompt\n\n$HOME\nEOF\n\n$HOME",
               "root@node-a# cat <<-EOF\n\t$((1 + 1))\n\tEOF\n2\nroot@node-a# cat <<<EOF\nEOF") == []


def test_a_user_is_told_no(run, lab: Lab):
    before = lab["node-a"].rules()
    assert run("user@node-a$ nft add table inet t 2>&1 | grep -o 'Operation not permitted' | head -1\n"
               "Operation not permitted",
               "user@node-a$ iptables -A INPUT -j DROP 2>&1 | grep -o 'Permission denied'\nPermission denied",
               "user@node-a$ unshare --map-root-user nft add table inet t 2>/dev/null || echo no\nno",
               "user@node-a$ ip link set lo down 2>&1 | grep -o 'not permitted'\nnot permitted",
               "user@node-a$ grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb):.*[1-9a-f]' /proc/self/status",
               "user@node-a$ echo $?\n1") == []
    assert lab["node-a"].rules() == before
    assert run("root@node-a# nft add table inet t; nft delete table inet t") == []


# A page that does not


WRONG = {
    "wrong output": ("root@node-a# echo one; echo two; echo three\none\nzwei\nthree",
                     "\n one\n-zwei\n+two\n three\n"),
    "output is missing": ("root@node-a# true\none", "\n-one\n"),
    "output that is not on the page": ("root@node-a# echo one", "\n+one\n"),
    "a line too many": ("root@node-a# echo one; echo two\none", "\n one\n+two\n"),
    "a line in front": ("root@node-a# echo one; echo two\ntwo", "\n+one\n two\n"),
    "only the end of a line": ("root@node-a# echo one\nne", "\n-ne\n+one\n"),
    "no regular expression": ("root@node-a# echo one\no.e", "\n-o.e\n+one\n"),
    "an elision stays on its line": ("root@node-a# echo one; echo two\none[..]two",
                                     "\n-one[..]two\n+one\n+two\n"),
    "an elision is no difference": ("root@node-a# echo 1 a; echo 2; echo 3; echo b\n[..] a\n...\nc",
                                    "\n [..] a\n-...\n-c\n+2\n+3\n+b\n"),
    "lines left out are no difference": ("root@node-a# echo a; echo 1; echo 2; echo b; echo c\na\n...\nb\nd",
                                         "\n a\n ...\n b\n-d\n+c\n"),
    "a silent failure": ("root@node-a# (exit 3)", "exit status 3"),
    "a silent failure before other commands": ("root@node-a# (exit 3)\nroot@node-a# true", "exit status 3"),
    "a status asked of another shell": ("root@node-a# (exit 3)\nroot@outsider# echo $?\n0", "exit status 3"),
    "a wrong status": ("root@node-a# false\nroot@node-a# echo $?\n2", "\n-2\n+1\n"),
    "a mistake of syntax": ("root@node-a# if", "syntax error"),
    "the end of the shell": ("root@node-a# echo last; exit",
                             "has ended the shell. Until then it printed:\nlast\n"),
    "an endless output": ("root@node-a# yes", "prints more than 1,000,000 bytes"),
}


@pytest.mark.parametrize("what", WRONG)
def test_it_is_not_as_the_page_says(run, what: str):
    text, said = WRONG[what]
    failure, = run(text)
    lines = text.splitlines()
    number = next(number for number, line in enumerate(lines) if line.startswith("root@") and line in failure)
    assert failure.startswith(f"page.md:{10 + number}: {lines[number]}\n")
    assert said in failure
    assert "State of node-a:\n" in failure


def test_what_stands_with_a_failure(run):
    failure, = run("root@node-a# nft add table inet t; nc -l 203.0.113.11 8002 >/dev/null &\n"
                   "root@node-a# until ss -Hltn | grep -q :8002; do sleep 0.1; done\n"
                   "root@node-a# false\n"
                   "root@node-a# nft delete table inet t")
    assert failure.startswith("page.md:12: root@node-a# false\n")
    assert "table inet t {" in failure
    assert "xenbr0 " in failure and "203.0.113.11/24" in failure
    assert "203.0.113.11:8002" in failure and '"nc"' in failure


def test_a_wrong_output_does_not_end_the_page(run):
    first, second = run("root@node-a# echo 1\n2\nroot@node-a# true\nroot@node-a# echo 3\n4")
    assert first.startswith("page.md:10: ") and second.startswith("page.md:13: ")


def test_a_command_that_hangs_ends_the_page(run):
    failure, = run("root@node-a# echo before; sleep 100\nbefore\nroot@node-a# echo 1\n2", limit=0.5)
    assert failure.startswith("page.md:10: root@node-a# echo before; sleep 100\n")
    assert "has not ended after 0.5 s. Until then it printed:\nbefore\n" in failure


def test_rules_that_are_left_behind_are_found(run):
    failure, = run("root@node-a# nft add table inet t", "root@outsider# nft add table inet u",
                   "root@outsider# nft delete table inet u")
    assert failure.startswith("node-a: the page does not undo what it does.")
    assert "+table inet t {" in failure


def test_rules_that_were_there_before_stay(run, lab: Lab):
    lab["node-a"].sh("nft add table inet t")
    assert run("root@node-a# true") == []
    failure, = run("root@node-a# nft delete table inet t")
    assert "-table inet t {" in failure


def test_an_unknown_host_is_named_before_anything_is_run(run, lab: Lab):
    failure, = run("root@node-a# nft add table inet t\nroot@node-z# true")
    assert failure.startswith("page.md:11: root@node-z# true\ndomain-0 has no host node-z; it has node-a, ")
    assert lab["node-a"].rules() == ""


# A page that cannot be run


@pytest.mark.parametrize("shown", ["...", "[..]", "[..]\n...", "...\n[..]", "[..] [..]", "[..]:"])
def test_an_elision_is_not_the_whole_of_an_output(shown: str):
    with pytest.raises(PageError, match=r"^page.md:11: root@node-a# echo two\n"):
        pages.commands(transcript(f"root@node-a# true\nroot@node-a# echo two\n{shown}\nroot@node-a# true"))


@pytest.mark.parametrize(("text", "said"), [
    ("root@node-a$ true", "page.md:10: root@node-a[$] true\na prompt is"),
    ("admin@node-a$ true", "a prompt is"),
    ("user@node-a# true", "a prompt is"),
    ("root@node-a# cat <<END\none\nEND", "copy button"),
    ("root@node-a# cat <<EOF\none", "has no end"),
    ("one", "no command comes before"),
])
def test_a_mistake_of_the_page_is_named(text: str, said: str):
    with pytest.raises(PageError, match=said):
        pages.commands(transcript(text))


# Which blocks are run, and where they stand


TABS = """
```console
root@node-a# echo everywhere
```

:::::{tabs}
::::{group-tab} nftables
```console
root@node-a# echo the same
root@node-a# echo nftables
```
::::
::::{group-tab} iptables
```console
root@node-a# echo the same
root@node-a# echo iptables
```
::::
:::::

::::::{tabs}
:::::{group-tab} xend
```{code-block} console
:emphasize-lines: 1

root@node-a# echo xend
```

::::{tabs}
:::{group-tab} nftables
- in a list

  ```console
  root@node-a# echo \\
  # in both
  root@node-a# echo xend, nftables
  ```
:::
::::
:::::
::::::

```console
root@node-a# echo everywhere
```

```{code-block} console
:not-run: there is no XAPI in the lab

root@node-a# xe host-list
```
"""


def test_a_page_runs_for_the_packet_filters_that_it_offers(read):
    found = read(TABS)
    assert pages.filters(found) == ["nftables", "iptables-nft", "iptables-legacy"]

    def texts(packet_filter: str) -> list[str]:
        return [command.text.removeprefix("echo ") for block in pages.transcripts(found, packet_filter)
                for command in pages.commands(block)]

    assert texts("nftables") == [
        "everywhere", "the same", "nftables", "xend", "\\\n# in both", "xend, nftables", "everywhere"]
    assert texts("iptables-nft") == texts("iptables-legacy") == [
        "everywhere", "the same", "iptables", "xend", "everywhere"]


def test_a_page_may_offer_one_packet_filter_or_none(read):
    assert pages.filters(read(TABS.replace("} nftables", "} xl"))) == ["iptables-nft", "iptables-legacy"]
    neither = read(TABS.replace("} nftables", "} xl").replace("} iptables", "} libvirt"))
    assert pages.filters(neither) == []
    assert len(pages.transcripts(neither)) == 6
    assert {"xend", "xl"} in [block.tabs for block in neither]


def test_an_example_in_a_tab_offers_a_packet_filter():
    """So that transcripts which forget the commands of that tab are seen to give another output."""
    block = CodeBlock("example", "nft", "", "page.md", 1, tabs=frozenset({"nftables"}))
    assert pages.filters([block, transcript("root@node-a# true")]) == ["nftables"]


def test_the_line_of_each_command(read, tmp_path: Path):
    commands = [command for block in read(TABS) if block.kind == "transcript"
                for command in pages.commands(block)]
    lines = (tmp_path / "index.md").read_text().splitlines()
    assert len(commands) == 9
    places = [int(command.where.removeprefix(f"{tmp_path / 'index.md'}:")) for command in commands]
    assert places == sorted(set(places))
    for command, place in zip(commands, places, strict=True):
        assert lines[place - 1].strip() == str(command).splitlines()[0].partition(": ")[2]


def test_a_page_of_the_guide_is_named_from_the_projects_folder():
    blocks = code_blocks(guide.pages()["reference/when-it-fails"].doctree, "domain-0")
    command = pages.commands(next(block for block in blocks if block.kind == "transcript"))[0]
    assert command.where.startswith("source/reference/when-it-fails.md:")


# The copy button


def test_the_copy_button_takes_what_the_runner_runs():
    """Further lines of a command have no prompt, and go along with it."""
    assert PROMPT.pattern in conf.copybutton_prompt_text.split("|")[0]
    assert conf.copybutton_prompt_is_regexp
    assert conf.copybutton_line_continuation_character == "\\"
    assert conf.copybutton_here_doc_delimiter == pages.DELIMITER


def test_a_long_output_is_compared_fast():
    """Elisions do not make the comparison try every way to fill them in."""
    many = "".join(f"line {number}\n" for number in range(2000))
    assert output.same(["...", "line 5", "...", "line 1500", "..."], many)
    assert not output.same(["...", "line 5", "...", "[..]1500", "...", "line x", "..."], many)


# Commands within a sentence


@pytest.mark.parametrize(("text", "kind", "command"), [
    ("{run}`iptables -V <root@node-a>`", "transcript", "root@node-a# iptables -V"),
    ("{run}`ss -Hltn <user@outsider>`", "transcript", "user@outsider$ ss -Hltn"),
    ("{run}`grep x </etc/hosts <root@node-a>`", "transcript", "root@node-a# grep x </etc/hosts"),
    ("{not-run}`xe host-list <there is no XAPI in the lab>`", "not-run", "xe host-list"),
    ("{tested}`kill -9 <tests/test_applying.py::test_a_kill>`", "tested", "kill -9"),
    ("`iptables -V`", "mention", "iptables -V"),
    ("`/usr/sbin/iptables -V`", "mention", "/usr/sbin/iptables -V"),
    ("`LANG=C LC_ALL=C iptables -V`", "mention", "LANG=C LC_ALL=C iptables -V"),
])
def test_a_command_within_a_sentence(read, text: str, kind: str, command: str):
    found, = read(f"Say {text} to it.")
    assert (found.kind, found.text, found.inline) == (kind, command, True)


@pytest.mark.parametrize("text", ["`iptables`", "`/usr/sbin/iptables`", "`yes no`", "`LANG=C yes no`",
                                  "`ip daddr`{l=nft}", "`hosts: files`", "**nft list**"])
def test_words_within_a_sentence_that_are_no_command(read, text: str):
    assert read(f"Say {text} to it.") == []


@pytest.mark.parametrize("text", ["{run}`iptables -V`", "{run}`iptables -V <node-a>`", "{tested}`kill -9 <a test>`",
                                  "{not-run}`xe host-list`", "{not-run}`xe host-list <>`"])
def test_a_role_without_its_remark_is_an_error(read, capsys, text: str):
    read(f"Say {text} to it.")
    assert "index.md:6: ERROR: " in capsys.readouterr().err


def test_a_command_within_a_sentence_is_run_at_its_place(run, read):
    blocks = read("```console\nroot@node-a# touch /run/x\n```\n\nSay {run}`ls /run/x <root@node-a>`.\n\n"
                  "```console\nroot@node-a# rm /run/x\n```\n\nSay {run}`ls /run/x <root@node-a>`.")
    commands = [command for block in pages.transcripts(blocks) for command in pages.commands(block)]
    failure, = run(commands=commands)
    assert failure.splitlines()[0].endswith("index.md:16: root@node-a# ls /run/x")
    assert "fails: exit status 2. It printed:\nls: cannot access" in failure


@pytest.mark.parametrize(("metadata", "said"), [
    ({"topology": "domain-1"}, r"page\.md: topology: domain-1: there is no such topology"),
    ({"topology": "domain-0", "sshd": "node-a node-x"}, r"page\.md: sshd: node-x: there is only node-a, .*"),
    ({"topology": "domain-0", "needs": "wires"}, r"page\.md: needs: wires: there is only wireguard"),
])
def test_a_front_matter_that_asks_for_what_there_is_not(metadata: dict[str, str], said: str):
    with pytest.raises(PageError, match=f"^{said}$"):
        hosts.check("page.md", metadata)


def test_a_front_matter_of_what_there_is():
    hosts.check("page.md", {"topology": "domain-0", "sshd": "node-a", "needs": "wireguard"})
