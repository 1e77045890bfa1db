# SPDX-License-Identifier: MIT
"""The converter loses nothing: manuals made at random say the same after it as before, block by block."""
from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from docutils import nodes
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from latex.converter import folder
from tests.converted import files_of, pages_of, sphinx, text_of

# Some manuals for each build, since to start Sphinx takes time; of more, hypothesis would throw most away as too big.
BATCH = 5
MANUALS = settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate], database=None,
                   print_blob=True, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Words:
    """A piece of a paragraph in LaTeX, what it says, and the footnotes in it."""

    tex: str
    says: str
    footnotes: tuple[str, ...] = ()


ESCAPES = {character: f"\\{character}" for character in "%&#$_{}"} | {
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$",
    "|": r"\textbar{}", "`": "{`}", "'": "{'}", "-": "{-}", '"': '"',
}
SAID = {"`": "\N{LEFT SINGLE QUOTATION MARK}", "'": "\N{RIGHT SINGLE QUOTATION MARK}"}


def escaped(text: str) -> str:
    return "".join(ESCAPES.get(character, character) for character in text)


def said(text: str) -> str:
    return "".join(SAID.get(character, character) for character in text)


# Letters, digits, and above all what Markdown, MyST and LaTeX give a meaning.
letters = st.sampled_from("aZ09éß→*_`'\"<>[](){}#+-=:.,;!|\\/$&%~^@?")
word = st.text(letters, min_size=1, max_size=8)
plain = st.builds(lambda text: Words(escaped(text), said(text)), word)
raw_word = st.text(st.sampled_from("aZ09é*_`'\"<>[](){}#+-=:.,;!\\/$&%~^@?"), min_size=1, max_size=8)
code_word = st.text(st.sampled_from("aZ09*_`<>[]()#+-=:.,;!|\\/$&%@?{}^~"), min_size=1, max_size=8)

SPECIMENS = [
    Words("``a''", "“a”"), Words("a---b--c", "a—b–c"), Words(r"\copyright\ ", "© "), Words(r"\ldots{}", "…"),
    Words(r"\'e\c c\"{o}", "éçö"), Words("a-{}-b", "a--b"), Words(r"\LaTeX{}", "LaTeX"), Words("{}", ""),
    Words(r"$\rightarrow$", "→"), Words("a~b", "a b"), Words(r"\mbox{a b}", "a b"), Words("% c\n{}", ""),
    Words(r"\url{http://a.b/c_d?e=%20f&g#h~i}", "http://a.b/c_d?e=%20f&g#h~i"), Words(r"a\newline{}b", "a b"),
    Words(r"\prog{}", "xend"), Words(r"\opt{a\_b}", "--a_b"), Words(r"\path{/a_b%c}", "/a_b%c"),
    Words(r"{\small a {\bf b} c}", "a b c"), Words(r"\emph{a \emph{b} c}", "a b c"), Words(r"\-\/\@", ""),
]
specimen = st.sampled_from(SPECIMENS)
STYLES = [r"\textbf{%s}", r"\emph{%s}", r"{\bf %s}", r"{\em %s\/}", r"{\it %s}", r"\textsf{%s}", r"\fbox{%s}"]


@st.composite
def styled(draw: st.DrawFn) -> Words:
    inner = draw(st.one_of(plain, specimen))
    return Words(draw(st.sampled_from(STYLES)) % inner.tex, inner.says)


@st.composite
def typewriter(draw: st.DrawFn) -> Words:
    text = draw(code_word)
    kind = draw(st.sampled_from(["verb", "tt"]))
    if kind == "verb" and "!" not in text and "-{}-" not in text:
        return Words(f"\\verb!{text}!", text)
    return Words(r"\texttt{%s}" % escaped(text).replace("{`}", r"\textasciigrave{}"), text)


piece = st.one_of(plain, plain, specimen, styled(), typewriter().filter(lambda words: "`" not in words.tex))
glue = st.sampled_from([" ", " ", " ", "\n", "", "  "])


@st.composite
def line(draw: st.DrawFn, footnotes: bool = True, size: int = 6) -> Words:
    """What can stand in a paragraph."""
    pieces = draw(st.lists(st.tuples(piece, glue), min_size=1, max_size=size))
    tex = "".join(words.tex + blank for words, blank in pieces)
    says = "".join(words.says + blank for words, blank in pieces)
    notes: tuple[str, ...] = ()
    if footnotes and draw(st.integers(0, 9)) == 0:
        note = draw(line(footnotes=False))
        tex, notes = tex + r"\footnote{%s}" % note.tex, (note.says,)
    return Words("{}" + tex, says, notes)


@dataclass
class Manual:
    """LaTeX, and what every block of it says, in the order of the text."""

    tex: list[str] = field(default_factory=list)
    blocks: list[tuple[str, str]] = field(default_factory=list)
    footnotes: list[str] = field(default_factory=list)
    code: list[bytes] = field(default_factory=list)

    def add(self, kind: str, words: Words) -> str:
        says = " ".join(words.says.split())
        if says:
            self.blocks.append((kind, says))
        self.footnotes += [" ".join(note.split()) for note in words.footnotes if note.split()]
        return words.tex


code_lines = st.lists(st.one_of(
    st.text(st.sampled_from("aZ09 \té*_`'\"<>[](){}#+-=:.,;!|\\/$&%~^"), max_size=20),
    st.sampled_from(["# xm list", "iptables -A INPUT -p tcp -{}-dport 8002", ":name: x", "```", ":::", "#include <a.h>",
                     "-{}-{}-", "<a>", "(xend-relocation-server yes)", "import os"]),
), max_size=4)


@st.composite
def manuals(draw: st.DrawFn) -> Manual:
    manual = Manual()

    def paragraph(kind: str = "paragraph", **options: object) -> str:
        return manual.add(kind, draw(line(**options)))

    def code() -> str:
        text = "".join(line + "\n" for line in draw(code_lines))
        manual.code.append(text.replace("-{}-{}-", "---").replace("-{}-", "--").encode())
        return "\\begin{verbatim}\n%s\\end{verbatim}" % text

    def items(depth: int) -> str:
        kind = draw(st.sampled_from(["itemize", "enumerate", "description"]))
        parts = []
        for _ in range(draw(st.integers(1, 3))):
            label = ""
            if kind == "description":
                words = draw(line(size=2).filter(lambda words: words.says.strip()))
                label = "[{%s}]" % manual.add("term", words)
            parts.append(rf"\item{label} " + "\n\n".join(
                [paragraph()] + [block(depth + 1) for _ in range(draw(st.integers(0, 1)))]))
        return "\\begin{%s}\n%s\n\\end{%s}" % (kind, "\n".join(parts), kind)

    def cell() -> str:
        return "\n\n".join([paragraph(size=2), *(block(2) for _ in range(1 if draw(st.integers(0, 9)) == 0 else 0))])

    def table(depth: int) -> str:
        columns = draw(st.integers(2, 3))
        rows = [" & ".join(cell() for _ in range(columns)) for _ in range(draw(st.integers(1, 3)))]
        rule = draw(st.sampled_from([r"\hline", ""]))
        return "\\begin{tabular}{%s}%s\n%s\n\\end{tabular}" % ("l" * columns, rule, f" \\\\ {rule}\n".join(rows))

    def figure(depth: int) -> str:
        manual.blocks.append(("paragraph", "figs/no.eps"))
        return "\\begin{figure}\\centering\\includegraphics{figs/no.eps}\n\\caption{%s}\n\\end{figure}" % paragraph()

    def block(depth: int) -> str:
        kinds = [lambda depth: paragraph(), lambda depth: code(), table, quote]
        return draw(st.sampled_from([*kinds, items, items] if depth < 3 else kinds[:2]))(depth)

    def quote(depth: int) -> str:
        # Words first, or a quotation that is nothing but code would become code.
        manual.blocks.append(("paragraph", "said"))
        return "\\begin{quote}\nsaid\n\n%s\n\\end{quote}" % block(depth + 1)

    for _ in range(draw(st.integers(1, 4))):
        heading = draw(st.sampled_from(["chapter", "section", "subsection", "subsection*", "paragraph"]))
        title = draw(line(footnotes=False, size=3).filter(lambda words: any(map(str.isalnum, words.says))))
        manual.tex.append(r"\%s{%s}" % (heading, manual.add("title", title)))
        for _ in range(draw(st.integers(0, 4))):
            manual.tex.append(block(0))
        if draw(st.integers(0, 5)) == 0:
            manual.tex.append(figure(0))
    return manual


DEFINITIONS = r"""\documentclass{report}
\def\prog{{xend}\xspace}
\newcommand{\opt}[1]{-{}-\texttt{#1}}
\begin{document}
\part{The manual}
"""


def said_by(trees: list[nodes.document]) -> tuple[list[tuple[str, str]], list[str]]:
    """The text blocks of pages in their order, and apart from them the footnotes."""
    blocks, notes = [], []
    for tree in trees:
        for footnote in tree.findall(nodes.footnote):
            notes.append(" ".join(text_of(child) for child in footnote.children[1:]))
        for node in tree.findall(lambda node: isinstance(node, (nodes.title, nodes.paragraph, nodes.term))):
            if not isinstance(node.parent, nodes.footnote) and text_of(node):
                blocks.append((type(node).__name__, text_of(node)))
    return blocks, [note for note in notes if note]


@MANUALS
@given(st.lists(st.tuples(manuals(), st.sampled_from(["part", "section", "subsection", "none"])),
                min_size=BATCH, max_size=BATCH), st.sampled_from(["html", "latex", "man"]))
def test_nothing_is_lost(batch: list[tuple[Manual, str]], builder: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        pages = Path(scratch, "pages")
        for number, (manual, split) in enumerate(batch):
            tex = DEFINITIONS + "\n\n".join(manual.tex) + "\n\\end{document}\n"
            folder.write(files_of(tex, split), pages / str(number))
        entries = [f"{number}/index" for number in range(len(batch))]
        (pages / "index.md").write_text("\n".join(["# All", "", "```{toctree}", *entries, "```", ""]))
        trees = pages_of(sphinx(pages, Path(scratch, "build"), builder))[1:]
        for number, (manual, _) in enumerate(batch):
            own = [tree for tree in trees if Path(tree["source"]).parent.name == str(number)]
            blocks, notes = said_by(own)
            assert blocks == [("title", "The manual"), *manual.blocks]
            assert sorted(notes) == sorted(manual.footnotes)
            shown = [block for tree in own for block in tree.findall(nodes.literal_block)]
            assert [Path(block["source"]).read_bytes() for block in shown] == manual.code
