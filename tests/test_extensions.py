# SPDX-License-Identifier: MIT
"""The Sphinx extensions of the guide, on a small guide that holds one of each thing."""
from __future__ import annotations

import itertools
import pickle
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest
from pygments.token import Error, Token

import lexers
import measured_curve
import reread
import topology_picture
from tests import guide
from tests.lab.topology import load

SCENARIOS = sorted(file.parent.name for file in guide.ROOT.glob("examples/*/topology.toml"))
MAN_PAGES = guide.configuration()["man_pages"]

INDEX = """
(index)=
# Small guide

A guide as short as can be, "quoted".

```{toctree}
:hidden:

considerations
scenarios/isolated-management-network
scenarios/subnet-behind-a-firewall
scenarios/untrusted-subnet
scenarios/untrusted-subnet-wireguard
reference/exposure
```

## Which one is yours?

It may be the [untrusted one](#untrusted-subnet), or [the one that tells of tabs](#in-a-tab).
[Here](#considerations) are considerations, and [the kernel](https://kernel.org/) and
[kernel](https://kernel.org/) are elsewhere.
"""

CONSIDERATIONS = """
(considerations)=
# Considerations

See {numref}`ports`, and <https://example.org/spelled-out>.

```{table} All ports
:name: ports

| Port | What |
|---|---|
| 22 | ssh |
```

Text before the figure.

```{figure} /picture.svg
:alt: nothing

The caption of a figure.
```

Text after the figure.

```{code-block} console
:not-run: there is no `xe` here

root@node-a# xe host-list
```
"""

ISOLATED = """---
topology: isolated-management-network
---
(isolated-management-network)=
# Isolated

`````{tabs}
````{group-tab} nftables
Words on nftables.

(in-a-tab)=
```{code-block} nft
:name: nft-block

table inet t
```
````
````{group-tab} iptables
Words on iptables.
````
`````

```{topology} isolated-management-network
```

```{parameters} isolated-management-network
```
"""

UNTRUSTED = """
(untrusted-subnet)=
# Untrusted

```{table} A titled table
| A | B |
|---|---|
| 1 | 2 |
```

```{code-block} console
:not-run: as it is

root@node-a# true
```
"""


@dataclass(frozen=True)
class Built:
    """The small guide and what was built from it, all formats in one folder."""

    source: Path
    build: Path

    def text(self, name: str) -> str:
        return (self.build / name).read_text(encoding="utf-8")

    def html(self, name: str) -> str:
        return self.text(f"html/{name}.html")

    def latex(self) -> str:
        guide.needs("rsvg-convert")
        return self.text("latex/securing-xen.tex")

    def man(self, name: str) -> str:
        return guide.words(guide.man_text(self.build / "man" / name))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The small guide in every format; that it builds without a warning is a test in itself."""
    folder = tmp_path_factory.mktemp("small")
    source = folder / "source"
    (source / "scenarios").mkdir(parents=True)
    (source / "reference").mkdir()
    for name, text in {
        "index": INDEX, "considerations": CONSIDERATIONS, "scenarios/isolated-management-network": ISOLATED,
        "scenarios/subnet-behind-a-firewall": "# Subnet\n\n## Is this you?\n\nWords.\n",
        "scenarios/untrusted-subnet": UNTRUSTED,
        "scenarios/untrusted-subnet-wireguard": "# WireGuard\n\n## Is this you?\n\nWords.\n",
        "reference/exposure": "# Am I exposed?\n\n## What many rules cost\n\n:::{measured} passing\n:::\n",
    }.items():
        (source / f"{name}.md").write_text(text.lstrip("\n"), encoding="utf-8")
    # The pages that conf.py has a man page for have to be there.
    others = [page[0] for page in MAN_PAGES if not (source / f"{page[0]}.md").exists()]
    for name in others:
        (source / f"{name}.md").write_text("---\norphan: true\n---\n# Other\n\n## Is this you?\n\nWords.\n",
                                           encoding="utf-8")
    (source / "picture.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>', encoding="utf-8")
    (source / "picture.pdf").write_bytes(b"")
    for builder in ("html", "man", "latex", "text"):
        if builder == "latex" and not shutil.which("rsvg-convert"):
            continue
        guide.sphinx(builder, folder / "build" / builder, "-d", folder / "doctrees", "-D", "numfig=1",
                     source=source)
    return Built(source, folder / "build")


def in_order(text: str, *pieces: str) -> bool:
    """Whether each piece is in the text once, and one after the other."""
    places = [text.find(piece) for piece in pieces]
    return -1 not in places and places == sorted(places) and all(text.count(piece) == 1 for piece in pieces)


# Tabs


def test_tabs_stay_tabs_in_html(built: Built):
    page = ET.fromstring(_element(built.html("scenarios/isolated-management-network"), "sphinx-tabs"))
    labels = {tab.get("aria-controls"): tab.text for tab in page.iter("button")}
    panels = {panel.get("id"): panel for panel in page.iter("div") if panel.get("role") == "tabpanel"}
    assert list(labels.values()) == ["nftables", "iptables"]
    assert {id: panel.get("data-label") for id, panel in panels.items()} == labels
    assert [panel.get("hidden") for panel in panels.values()] == [None, "true"]


def _element(html: str, css_class: str) -> str:
    """The div of a class, to its end."""
    start = html.index(f'<div class="{css_class}')
    depth, at = 0, start
    while depth or at == start:
        opened, closed = html.find("<div", at), html.find("</div>", at)
        depth, at = (depth + 1, opened + 4) if -1 < opened < closed else (depth - 1, closed + 6)
    return html[start:at]


@pytest.mark.parametrize("builder", ["man", "latex", "text"])
def test_tabs_are_labels_over_their_own_content(built: Built, builder: str):
    name = "isolated-management-network"
    if builder == "man":
        text = built.man(f"securing-xen-{name}.7")
    elif builder == "latex":
        text = built.latex().partition(r"\section{Isolated}")[2].partition(f"topology-{name}")[0]
    else:
        text = built.text(f"text/scenarios/{name}.txt")
    label = "{}}}\n" if builder == "latex" else "► {}"
    assert in_order(text, "Take the one that is yours: nftables, iptables.", label.format("nftables"),
                    "Words on nftables.", label.format("iptables"), "Words on iptables.")
    assert text.count("Words on") == 2


def test_no_builder_reads_tabs_in_its_own_way(built: Built, tmp_path: Path):
    guide.sphinx("man", tmp_path / "man", "-D", "numfig=1", source=built.source)
    for page in (tmp_path / "man").glob("*.7"):
        assert page.read_bytes() == (built.build / "man" / page.name).read_bytes()


# What was measured


def test_what_was_measured_is_a_picture_in_html_and_a_table_everywhere(built: Built):
    rows = measured_curve.rows("passing")
    html = built.html("reference/exposure")
    picture = ET.fromstring(re.search(r'<div class="measured".*?>(<svg.*?</svg>)', html, re.DOTALL)[1])
    lines = picture.findall("{*}polyline")
    assert [line.get("class") for line in lines] == list(measured_curve.KINDS)
    assert sum(len(line.get("points").split()) for line in lines) == len(rows)
    texts = [html, built.man("securing-xen-exposure.8"), built.text("text/reference/exposure.txt")]
    for row in rows:
        assert all(f"{row['rate']:,}" in text for text in texts), row


# Blocks that are not run


def test_every_format_says_that_a_block_is_not_run_and_why(built: Built):
    assert in_order(built.man("securing-xen.7"), "Not run: there is no xe here", "xe host-list")
    text = built.text("text/considerations.txt")
    assert in_order(text, '**Not run:** there is no "xe" here', "xe host-list")
    html = built.html("considerations")
    assert html.index("<strong>Not run:</strong> there is no <code") < html.index("host-list")
    before, _, _ = built.latex().partition("host\\PYGZhy{}list")
    assert "there is no \\sphinxcode{\\sphinxupquote{xe}} here" in before.rpartition("Not run:")[2]


def test_a_block_is_not_run_for_a_reason(tmp_path: Path):
    (tmp_path / "index.md").write_text("# Page\n\n```{code-block} console\n:not-run:\n\nroot@a# xe\n```\n")
    with pytest.raises(AssertionError, match="not-run"):
        guide.sphinx("dummy", tmp_path / "out", source=tmp_path)


# Pictures of topologies


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_picture_shows_each_network_host_interface_and_address(scenario: str):
    topology = load(scenario)
    shown = [text.text for text in _svg(scenario).findall("{*}text")]
    for network in topology.networks.values():
        assert network.title in shown
        assert all(any(prefix in text for text in shown) for prefix in network.prefixes)
    for host in topology.hosts.values():
        assert host.name in shown
        for interface in host.interfaces.values():
            assert {interface.name, *interface.addresses} <= set(shown)
            assert {interface.uplink, interface.vif} - {""} <= set(shown)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_attackers_differ_by_more_than_colour(scenario: str):
    attackers = [host for host in load(scenario).hosts.values() if host.role in ("outsider", "guest")]
    assert attackers
    svg = _svg(scenario)
    assert len([r for r in svg.findall("{*}rect") if "attacker" in r.get("class").split()]) == len(attackers)
    assert len([t for t in svg.findall("{*}text") if t.text.endswith(", attacker")]) == len(attackers)
    for style in (topology_picture.PRINT_STYLE, (guide.ROOT / "source/_static/guide.css").read_text()):
        assert "stroke-dasharray" in style.partition(".attacker")[2].partition("}")[0]


@pytest.mark.parametrize("view", ["", "before", "after"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_in_the_picture_overlaps_or_sticks_out(scenario: str, view: str):
    svg = _svg(scenario, view)
    width, height = (float(svg.get(side)) for side in ("width", "height"))
    boxes = [tuple(float(r.get(k)) for k in ("x", "y", "width", "height")) for r in svg.findall("{*}rect")]
    for x, y, w, h in boxes:
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
    for a, b in itertools.combinations(boxes, 2):
        assert _apart(a, b) or _within(a, b) or _within(b, a), (a, b)
    for text in svg.findall("{*}text"):
        x, y, length = float(text.get("x")), float(text.get("y")), len(text.text) * topology_picture.LETTER
        left = x - {"start": 0, "middle": length / 2, "end": length}[text.get("text-anchor")]
        assert left >= 0 and left + length <= width and 8 <= y <= height, text.text
    for line in svg.findall("{*}polyline"):
        for x, y in (map(float, point.split(",")) for point in line.get("points").split()):
            assert 0 <= x <= width and 0 <= y <= height, line.get("class")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_paths_are_drawn_as_far_as_they_get(scenario: str):
    paths = load(scenario).paths
    stopped = sum(bool(path.stopped_by) for path in paths)
    assert 0 < stopped < len(paths)
    for view, kind, other in (("before", "open", "stopped"), ("after", "stopped", "open")):
        svg = _svg(scenario, view)
        legend = 1
        drawn = [line.get("class") for line in svg.findall("{*}polyline") if line.get("class").startswith("path ")]
        assert drawn.count(f"path {kind}") == stopped + legend and f"path {other}" not in drawn
        assert drawn.count("path wanted") == len(paths) - stopped + legend
        marks = [mark.get("class") for mark in svg.findall("{*}path")]
        assert marks.count("cross") == (stopped + legend if view == "after" else 0)
        assert len(marks) == len(drawn)
        assert topology_picture.LEGEND[kind] in [text.text for text in svg.findall("{*}text")]


@pytest.mark.parametrize("view", ["before", "after"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_path_runs_over_a_name(scenario: str, view: str):
    """It keeps clear of the names of ports, and goes on behind hosts that forward and behind the names of networks."""
    svg = _svg(scenario, view)
    order = [(child.get("class") or "").split() for child in svg]
    last_path = max(number for number, kinds in enumerate(order) if kinds[:1] == ["path"])
    lines = [[tuple(map(float, point.split(","))) for point in line.get("points").split()]
             for line in svg.findall("{*}polyline") if line.get("class").startswith("path ")]
    ports = [text for text in svg.findall("{*}text") if text.get("class") == "port"]
    assert ports
    for text in ports:
        x, y, length = float(text.get("x")), float(text.get("y")), len(text.text) * topology_picture.LETTER
        for (x0, y0), (x1, y1) in (pair for line in lines for pair in itertools.pairwise(line)):
            box = (min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0))
            assert _apart(box, (x - 1, y - 7, length, 7)), (text.text, box)
    routers = [host.name for host in load(scenario).hosts.values() if host.role in topology_picture.FORWARDING]
    over = [child for child in list(svg)[last_path:] if child.tag.endswith("rect")]
    assert len(over) == len(routers)
    for style in (topology_picture.PRINT_STYLE, (guide.ROOT / "source/_static/guide.css").read_text()):
        assert re.search(r"\.network-name,\s*(?:\.topology )?\.prefix\s*{[^}]*paint-order:\s*stroke", style)


def test_paths_differ_by_more_than_colour():
    for style in (topology_picture.PRINT_STYLE, (guide.ROOT / "source/_static/guide.css").read_text()):
        dashes = [re.search(rf"\.{kind}\s*{{[^}}]*stroke-dasharray:\s*([\d ]+)", style)
                  for kind in ("stopped", "wanted")]
        assert all(dashes) and dashes[0][1] != dashes[1][1]
        assert not re.search(r"\.open\s*{[^}]*dasharray", style)


def test_a_path_is_told_in_words_in_every_format(built: Built):
    man = built.man("securing-xen-isolated-management-network.7")
    assert in_order(man, "Without the rules outsider reaches port 8002 of node-a; guest-a",
                    "With the rules outsider is stopped by node-a; guest-a is stopped by node-a; "
                    "node-b reaches port 8002 of node-a by eth1.")
    for view in ("before", "after"):
        description = next(child for child in _svg("isolated-management-network", view) if child.tag.endswith("desc"))
        assert (f"outsider {'reaches' if view == 'before' else 'is stopped'}") in description.text


def test_the_picture_can_be_heard():
    svg = _svg("untrusted-subnet")
    assert svg.get("role") == "img"
    parts = {child.get("id"): child for child in svg if child.get("id")}
    assert parts[svg.get("aria-labelledby")].text == "Untrusted subnet: networks and hosts"
    description = parts[svg.get("aria-describedby")].text
    for host in load("untrusted-subnet").hosts.values():
        assert f"{host.name}: " in description
        assert all(address in description for i in host.interfaces.values() for address in i.addresses)


def test_each_format_has_the_picture_or_its_words(built: Built):
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in built.html("scenarios/isolated-management-network")
    man = built.man("securing-xen-isolated-management-network.7")
    assert "guest-a Guest on node-a, an attacker: eth0 (203.0.113.101/24 and 2001:db8:2::101/64), on" in man
    for view in ("before", "after"):
        name = f"topology-isolated-management-network-{view}.pdf"
        assert f"{{{name}}}" in built.latex()
        assert (built.build / "latex" / name).read_bytes().startswith(b"%PDF")


def test_the_parameters_are_listed(built: Built):
    man = built.man("securing-xen-isolated-management-network.7")
    for name, value in load("isolated-management-network").parameters.items():
        assert f"│{name} │ {value} │" in man


def test_a_page_is_read_again_when_its_topology_changes(built: Built):
    environment = pickle.loads((built.build.parent / "doctrees/environment.pickle").read_bytes())
    dependencies = environment.dependencies["scenarios/isolated-management-network"]
    topology = "examples/isolated-management-network/topology.toml"
    assert any(str(file).endswith(topology) for file in dependencies)


@pytest.mark.parametrize("directive", ["topology", "parameters"])
def test_a_topology_that_does_not_exist_is_an_error(tmp_path: Path, directive: str):
    (tmp_path / "index.md").write_text(f"# Page\n\n```{{{directive}}} no-such-scenario\n```\n")
    with pytest.raises(AssertionError, match=r"index.md:3: .*no-such-scenario"):
        guide.sphinx("dummy", tmp_path / "out", source=tmp_path)


def _svg(scenario: str, view: str = "") -> ET.Element:
    return ET.fromstring(topology_picture.draw(load(scenario), view=view))


def _apart(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return (a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1])


def _within(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return (b[0] <= a[0] and a[0] + a[2] <= b[0] + b[2] and b[1] <= a[1] and a[1] + a[3] <= b[1] + b[3])


# Man pages


def test_the_pages_of_scenarios_are_no_part_of_the_whole_guides_man_page(built: Built):
    assert "Considerations".upper() in built.man("securing-xen.7")
    assert "Words on nftables." not in built.man("securing-xen.7")
    assert "Words on nftables." in built.man("securing-xen-isolated-management-network.7")


def test_references_to_other_man_pages_name_them(built: Built):
    text = built.man("securing-xen.7")
    assert "untrusted one (securing-xen-untrusted-subnet(7))" in text
    assert "tabs (securing-xen-isolated-management-network(7))" in text
    assert "Here are considerations" in text
    assert "<#" not in text


def test_external_links_are_notes(built: Built):
    text = built.man("securing-xen.7")
    assert "the kernel [1] and kernel [1] are elsewhere" in text
    assert "and <https://example.org/spelled-out>." in text
    assert in_order(text, "NOTES 1. <https://kernel.org/>", "SEE ALSO")


def test_the_text_before_the_first_heading_is_the_description(built: Built):
    text = built.man("securing-xen.7")
    assert 'host DESCRIPTION A guide as short as can be, "quoted". WHICH ONE IS YOURS?' in text


def test_a_page_that_begins_with_a_heading_has_no_empty_description(built: Built):
    text = built.man("securing-xen-subnet-behind-a-firewall.7")
    assert "behind a border firewall DESCRIPTION Is this you? Words." in text


def test_each_man_page_names_the_others(built: Built):
    see_also = built.man("securing-xen-untrusted-subnet.7").partition(" SEE ALSO ")[2]
    others = [f"{page[1]}({page[4]})" for page in MAN_PAGES if page[1] != "securing-xen-untrusted-subnet"]
    assert see_also.startswith(f"{', '.join(others)} COPYRIGHT")


def test_tables_figures_and_numbered_references_in_man_pages(built: Built):
    text = built.man("securing-xen.7")
    assert "NAME securing-xen - a guide to securing a Xen host DESCRIPTION" in text
    assert "See Table 1, and" in text
    assert in_order(text, "All ports ┌", "The caption of a figure. Text after the figure.")
    assert "INDENT" not in text


def test_a_table_is_not_the_page(built: Built):
    text = built.man("securing-xen-untrusted-subnet.7")
    assert "NAME securing-xen-untrusted-subnet - secure" in text
    assert in_order(text, "DESCRIPTION A titled table ┌", "Not run: as it is")
    assert ".SH A titled table" not in built.text("man/securing-xen-untrusted-subnet.7")


def test_tables_stand_apart_from_what_follows(built: Built):
    text = guide.run("man", "-l", built.build / "man/securing-xen.7")
    text += guide.run("man", "-l", built.build / "man/securing-xen-untrusted-subnet.7")
    after = [after for line, after in itertools.pairwise(text.splitlines()) if line.endswith("┘")]
    assert after == ["", ""], text


def test_no_word_of_a_man_page_is_hyphenated(built: Built):
    for name, heading in {"untrusted-subnet": "DESCRIPTION", "subnet-behind-a-firewall": "IS THIS YOU?"}.items():
        text = guide.run("man", "-l", built.build / f"man/securing-xen-{name}.7")
        assert "\N{HYPHEN}\n" not in text.partition(heading)[2]


# Order and rank of the pages


def test_the_landing_page_comes_first_and_all_pages_have_the_same_rank(built: Built):
    assert in_order(built.latex(), r"\section{Which one is yours?}", r"\section{Considerations}",
                    r"\section{Isolated}", r"\section{Subnet}", r"\section{Untrusted}")
    text = (built.build / "man/securing-xen.7").read_text()
    assert in_order(text, ".SH WHICH ONE IS YOURS?", ".SH CONSIDERATIONS", ".SH NOTES")


def test_the_landing_page_can_be_linked_to_in_the_pdf(built: Built):
    assert r"\label{\detokenize{index:index}}" in built.latex()


# HTML


def test_a_page_is_described_by_its_first_paragraph(built: Built):
    assert ('<meta name="description" content="A guide as short as can be, &quot;quoted&quot;." />'
            in built.html("index"))


def test_a_page_may_bring_its_own_description(built: Built, tmp_path: Path):
    (tmp_path / "index.md").write_text(
        "---\nmyst:\n  html_meta:\n    description: My own.\n---\n# Page\n\nFirst " + "word " * 50 + "\n")
    (tmp_path / "long.md").write_text("---\norphan: true\n---\n# Page\n\n" + "word " * 50 + "\n")
    guide.sphinx("html", tmp_path / "out", source=tmp_path)
    assert (tmp_path / "out/index.html").read_text().count('name="description"') == 1
    assert f'content="{"word " * 31}word …"' in (tmp_path / "out/long.html").read_text()


def test_front_matter_is_not_shown(built: Built):
    for text in (built.html("scenarios/isolated-management-network"),
                 built.man("securing-xen-isolated-management-network.7"), built.latex()):
        assert "topology:" not in text


# Highlighting


@pytest.mark.parametrize(("lexer", "suffixes"), [
    (lexers.NftLexer, [".nft"]), (lexers.IptablesRestoreLexer, [".v4", ".v6"]),
    (lexers.XendConfigLexer, [".sxp"]),
])
def test_every_example_can_be_highlighted(lexer, suffixes: list[str]):
    files = [file for file in (guide.ROOT / "examples").rglob("*") if file.suffix in suffixes]
    assert files
    for file in files:
        text = file.read_text(encoding="utf-8")
        tokens = list(lexer().get_tokens(text))
        assert "".join(value for _, value in tokens) == text
        assert not [value for kind, value in tokens if kind in Error]
        comments = [line.strip() for line in text.splitlines() if line.lstrip().startswith("#")]
        assert [value for kind, value in tokens if kind in Token.Comment] == comments


@pytest.mark.parametrize(("lexer", "text", "kind"), [
    (lexers.NftLexer, "2001:db8:1::/64", Token.Literal.Number),
    (lexers.NftLexer, "192.168.1.0/24", Token.Literal.Number),
    (lexers.NftLexer, "$relocation_port", Token.Name.Variable),
    (lexers.NftLexer, "drop", Token.Keyword.Reserved),
    (lexers.NftLexer, "drop-in", Token.Text),
    (lexers.NftLexer, "xen-drop", Token.Text),
    (lexers.IptablesRestoreLexer, "*filter", Token.Keyword),
    (lexers.IptablesRestoreLexer, "--dport", Token.Name.Attribute),
    (lexers.XendConfigLexer, r"'^192\\.168$'", Token.Literal.String.Single),
    (lexers.TranscriptLexer, "root@node-a# ", Token.Generic.Prompt),
    (lexers.TranscriptLexer, "(ready receive)\n", Token.Generic.Output),
])
def test_a_word_is_of_its_kind(lexer, text: str, kind):
    assert [(k, v) for k, v in lexer().get_tokens(f"{text}\n") if v.strip()] == [(kind, text)]


# Reading again


def test_a_changed_extension_is_a_reason_to_read_all_pages_again(tmp_path: Path, monkeypatch):
    (tmp_path / "one.py").write_text("1")
    monkeypatch.setattr(reread, "__file__", str(tmp_path / "one.py"))
    before = reread.version_of_extensions()
    assert reread.version_of_extensions() == before
    (tmp_path / "one.py").write_text("2")
    assert reread.version_of_extensions() != before
