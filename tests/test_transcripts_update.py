# SPDX-License-Identifier: MIT
"""``make update``: pages get what their commands print, and keep whatever still holds."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests import guide
from tests.lab import namespaces, skip
from tests.transcripts import output, update
from tests.transcripts.update import Conflict


@pytest.mark.parametrize(("page", "printed", "new"), [
    (["one"], "one\n", ["one"]),
    (["one"], "two\n", ["two"]),
    ([], "one\ntwo\n", ["one", "two"]),
    (["one", "two"], "", []),
    # elisions that still match
    (["[..] one"], "17 one\n", ["[..] one"]),
    (["a", "...", "z"], "a\n1\n2\nz\n", ["a", "...", "z"]),
    (["a [..]", "b"], "a 17\nc\n", ["a [..]", "c"]),
    (["a", "...", "y", "end"], "a\n1\n2\nz\nend\n", ["a", "...", "z", "end"]),
    (["...", "b 1", "c [..]"], "x\ny\nb 2\nc 17\n", ["...", "b 2", "c [..]"]),
    # beside a change in the same line
    (["LISTEN[..]127.0.0.1:8002[..]"], "LISTEN 0 5 127.0.0.1:8012 0.0.0.0:*\n", ["LISTEN[..]127.0.0.1:8012[..]"]),
    (["[..]tcp dport 8002 counter packets [..] drop"], "    tcp dport 8003 counter packets 17 drop\n",
     ["[..]tcp dport 8003 counter packets [..] drop"]),
    # and those that do not, or would be the whole of it
    (["a [..] b"], "c\n", ["c"]),
    (["x", "..."], "1\n", ["1", "..."]),
    (["[..]."], "2 3\n", ["[..]3"]),
    (["one [..]"], "2 3\n", ["2 [..]"]),
    (["a", "b"], "1\n2\n3\n", ["1", "2", "3"]),
])
def test_what_a_page_is_to_show(page: list[str], printed: str, new: list[str]):
    assert output.updated(page, printed) == new
    assert output.same(new, printed) and not output.says_nothing(new)


def test_what_holds_is_kept_as_it_is_written():
    """Tabs, and blank lines at the end, are the page's own."""
    assert output.updated(["\tx", ""], "        x\n") == ["\tx", ""]


PAGE = """---
topology: domain-0
---
# Page

Text before, {run}`true <root@node-a>`.

```console
root@node-a# echo old; echo 17 stays
older
[..] stays
root@node-a# true
root@node-a# cat <<'EOF'; \\
echo after
one
EOF
```

- In a list:

  ```console
  root@node-a# echo new
  root@node-a# printf 'a\\n\\nb\\n'
  a
  user@outsider$ echo gone >/dev/null
  gone
  ```

::::{tabs}
:::{group-tab} nftables
Only a word.
:::
:::{group-tab} iptables
Another.
:::
::::
"""
UPDATED = PAGE.replace("older", "old").replace("one\nEOF\n", "one\nEOF\none\nafter\n").replace(
    "echo new\n", "echo new\n  new\n").replace("  a\n", "  a\n\n  b\n").replace("  gone\n", "")


@pytest.fixture
def page(tmp_path: Path):
    skip.without_lab(namespaces.why_not())

    def make(text: str) -> guide.Page:
        (tmp_path / "index.md").write_text(text)
        return guide.read(tmp_path)["index"]
    return make


def test_a_page_gets_what_its_commands_print(page, tmp_path: Path):
    assert update.update(page(PAGE))
    assert (tmp_path / "index.md").read_text() == UPDATED
    assert not update.update(page(UPDATED))
    assert (tmp_path / "index.md").read_text() == UPDATED


TABS = """
```console
root@node-a# iptables -V | grep -o 'nf_tables\\|legacy'
x
```

::::{tabs}
:::{group-tab} iptables
```console
root@node-a# true
```
:::
::::
"""


@pytest.mark.parametrize(("text", "said"), [
    ("```console\nroot@node-a# false\n```\n", "fails without a word"),
    ("```console\nroot@node-a# nft add table inet t\n```\n", "does not undo what it does"),
    ("```console\nroot@node-a# echo last; exit\n```\n", "has ended the shell"),
    ("Say {run}`false <root@node-a>`.\n", "fails: exit status 1"),
    (TABS, "iptables-legacy gives another output than the packet filters before it"),
])
def test_what_no_other_output_puts_right_leaves_the_page_as_it_was(page, tmp_path: Path, text: str, said: str):
    whole = f"---\ntopology: domain-0\n---\n# Page\n\n```console\nroot@node-a# echo new\n```\n\n{text}"
    with pytest.raises(Conflict, match=said):
        update.update(page(whole))
    assert (tmp_path / "index.md").read_text() == whole


@pytest.mark.parametrize("text", [
    "> ```console\n> root@node-a# echo x\n> ```\n",
    "```console\nroot@node-a# echo '```'\n```\n",
    "```console\nroot@node-a# echo 'root@node-a# rm x'\n```\n",
])
def test_a_page_is_not_damaged(page, tmp_path: Path, text: str):
    whole = f"---\ntopology: domain-0\n---\n# Page\n\n{text}"
    with pytest.raises(Conflict):
        update.update(page(whole))
    assert (tmp_path / "index.md").read_text() == whole


def test_the_ends_of_lines_stay(page, tmp_path: Path):
    file = tmp_path / "index.md"
    file.write_bytes(b"---\r\ntopology: domain-0\r\n---\r\n# Page\r\n\r\n```console\r\nroot@node-a# echo x\r\n```\r\n")
    before = file.read_bytes()
    assert update.update(guide.read(tmp_path)["index"])
    assert file.read_bytes() == before.replace(b"echo x\r\n", b"echo x\r\nx\r\n")


def test_a_page_that_is_not_there_is_named(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["update", "source/no-such-page.md"])
    with pytest.raises(SystemExit) as ended:
        update.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "source/no-such-page.md is no page with commands that are run" in said
    assert "source/considerations.md" in said
