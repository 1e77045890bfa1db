# SPDX-License-Identifier: MIT
"""The converter: nothing of the text is lost, code is kept byte for byte, and nothing is written over."""
from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docutils import nodes

from latex import tex2myst
from latex.converter import folder
from latex.converter.document import Section
from latex.converter.reading import plain_text
from tests.converted import (
    BORNE,
    CHAPTER,
    NEEDED,
    build,
    converter,
    files_of,
    png,
    prose,
    sphinx,
    texts,
    tree_of,
)

# The chapter


def verbatim_of(tex: str) -> list[str]:
    return re.findall(r"\\begin\{verbatim\}\n(.*?)\\end\{verbatim\}", tex, re.DOTALL)


def words_of_latex(tex: str) -> list[str]:
    """The words of our chapter, found without the converter's help."""
    tex = re.sub(r"\\begin\{verbatim\}.*?\\end\{verbatim\}", "", tex, flags=re.DOTALL)
    tex = re.sub(r"%.*|\\(documentclass|begin|end)\{\w+\}|\\[a-z]+", "", tex)
    return re.sub(r"[{}]", "", tex).split()


def test_every_word_of_the_chapter_is_there_in_order(tmp_path: Path) -> None:
    words = [word for tree in build(CHAPTER.read_text(), tmp_path) for word in prose(tree).split()]
    assert words == words_of_latex(CHAPTER.read_text())


def test_code_of_the_chapter_is_kept_byte_for_byte(tmp_path: Path) -> None:
    expected = [code.replace("-{}-", "--") for code in verbatim_of(CHAPTER.read_text())]
    trees = build(CHAPTER.read_text(), tmp_path)
    blocks = [block for tree in trees for block in tree.findall(nodes.literal_block)]
    assert [Path(block["source"]).read_bytes() for block in blocks] == [code.encode() for code in expected]
    assert [block.astext() for block in blocks] == expected
    assert {block["language"] for block in blocks} == {"sh"}
    assert sorted(path.name for path in (tmp_path / "pages" / "code").iterdir()) == [
        "a-subnet-behind-a-firewall-1.sh", "nodes-on-an-untrusted-subnet-1.sh",
    ]


def test_chapter_becomes_a_page_for_each_section(tmp_path: Path) -> None:
    trees = build(CHAPTER.read_text(), tmp_path)
    assert [[title.astext() for title in tree.findall(nodes.title)] for tree in trees] == [
        ["Securing Xen"],
        ["Xen Security Considerations"],
        ["Security Scenarios", "The Isolated Management Network", "A Subnet Behind a Firewall",
         "Nodes on an Untrusted Subnet"],
    ]
    lists = [lists for tree in trees for lists in tree.findall(nodes.enumerated_list)]
    assert [len(items) for items in lists] == [3, 2]
    strong = [node.astext() for tree in trees for node in tree.findall(nodes.strong)]
    assert len(strong) == 4
    assert strong[-1] == "FIXME:"


def test_chapter_builds_to_html(tmp_path: Path) -> None:
    folder.write(files_of(CHAPTER.read_text()), tmp_path / "pages")
    sphinx(tmp_path / "pages", tmp_path / "html", "html")
    assert "<strong>FIXME:</strong>" in (tmp_path / "html" / "security-scenarios.html").read_text()


def test_chapter_from_the_command_line(tmp_path: Path) -> None:
    shutil.copy(CHAPTER, tmp_path / "book.tex")
    run = converter("book.tex", "out", folder=tmp_path)
    assert (run.returncode, run.stdout) == (0, "")
    lines = CHAPTER.read_text().splitlines()
    expected = [
        f"book.tex:{number}: {what}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        for sign, what in [("FIXME", "open question"), ("-{}-", "repaired, -{}- is --")] if sign in line
    ]
    assert len(expected) == 3
    assert run.stderr.splitlines() == expected
    written = {name for name, content in tree_of(tmp_path / "out").items() if content != b"/"}
    assert written == set(files_of(CHAPTER.read_text())) | {folder.MANIFEST}


def test_chapter_is_a_document_of_its_own(tmp_path: Path) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("pdflatex is not installed")
    run = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", CHAPTER], cwd=tmp_path,
                         text=True, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stdout
    assert "Overfull" not in run.stdout
    assert (tmp_path / "securing-xen.pdf").is_file()


# What becomes what


@pytest.mark.parametrize(("tex", "text"), [
    *((f"a \\{character} b", f"a {character} b") for character in "%&#$_{}"),
    (r"a\ b", "a b"),
    ("``a''", "\N{LEFT DOUBLE QUOTATION MARK}a\N{RIGHT DOUBLE QUOTATION MARK}"),
    ("`a'", "\N{LEFT SINGLE QUOTATION MARK}a\N{RIGHT SINGLE QUOTATION MARK}"),
    ("a---b", "a\N{EM DASH}b"),
    ("a--b", "a\N{EN DASH}b"),
    ("a-{}-b", "a--b"),
    ("a~b", "a b"),
    ("a {group} b", "a group b"),
    ("a% a comment\n  b", "ab"),
    ("a % a comment\nb", "a b"),
    ("a\n%\n% comments\nb", "a b"),
    ("\\documentclass[12pt]{report}\\usepackage{x}a", "a"),
    ("\\begin{document}a\\end{document}", "a"),
])
def test_text(tex: str, text: str, tmp_path: Path) -> None:
    (tree,) = build(rf"\section{{T}} {tex}", tmp_path)
    assert prose(tree) == f"T {text}"


# Each means something in Markdown or in MyST; the second column is how LaTeX writes it, if not like this.
MARKDOWN = {
    "*a* **a**": "", "_a_ __a__": r"\_a\_ \_\_a\_\_", "[a](b) ![a](b)": "", "[a]: b": "", "[^a]": "",
    "<b>a</b> <http://a.b>": "", "&amp; &#97;": r"\&amp; \&\#97;", "{a} {{ a }}": r"\{a\} \{\{ a \}\}",
    "1. a": "", "1) a": "", "2005.": "", "12": "", "- a": "", "+ a": "", "---": "-{}-{}-", "+++": "",
    "===": "",
    "> a": "", ": a": "", ":a: b": "", ":::": "", "::: {note}": r"::: \{note\}", "(a)=": "", "(a) b": "",
    "| a | b |": "", "!a": "", "@a": "", "# a": r"\# a", "a #": r"a \#", "$a$": r"\$a\$", "$$": r"\$\$",
    "% a": r"\% a", "a ^ b": "", "a | b |-|-|": "a | b\n|-|-|",
}


@pytest.mark.parametrize("extensions", [NEEDED, BORNE], ids=["plain", "extended"])
def test_text_that_would_mean_something_in_markdown(extensions: tuple[str, ...], tmp_path: Path) -> None:
    tex = [tex or text for text, tex in MARKDOWN.items()]
    later = [f"a line before\n{text}" for text in tex]
    (tree,) = build("\\section{T}\n\n" + "\n\n".join(tex + later), tmp_path, extensions=extensions)
    assert texts(tree) == ["T", *MARKDOWN, *(f"a line before {text}" for text in MARKDOWN)]
    assert {type(node) for node in tree.findall(nodes.Element)} == {
        nodes.document, nodes.section, nodes.title, nodes.paragraph, nodes.raw,
    }


@pytest.mark.parametrize("title", ["1. a", "a #", "*a*", "- a", r"a\_b", "a\nb"])
def test_title_that_would_mean_something_in_markdown(title: str, tmp_path: Path) -> None:
    (tree,) = build(rf"\section{{{title}}}".replace("#", r"\#"), tmp_path)
    assert texts(tree) == [title.replace("\\", "").replace("\n", " ")]


@pytest.mark.parametrize(("tex", "text", "bold"), [
    (r"\textbf{a} b", "a b", ["a"]),
    (r"\textbf {a} b", "a b", ["a"]),
    (r"x\textbf{a}y", "xay", ["a"]),
    (r"x\textbf{(a.)}y", "x(a.)y", ["(a.)"]),
    (r"\textbf{ a }b", "a b", ["a"]),
    (r"\textbf{a}\textbf{b}", "ab", ["ab"]),
    (r"\textbf{a \textbf{b} c}", "a b c", ["a b c"]),
    (r"a\textbf{}b", "ab", []),
    ("\\textbf{a\nb}", "a b", ["a b"]),
    ("\\textbf{a\n\nb}", "a b", ["a", "b"]),
    (r"\textbf{a}\{b\}", "a{b}", ["a"]),
    (r"\textbf{a*}b", "a*b", ["a*"]),
    (r"\textbf{*a}b", "*ab", ["*a"]),
    (r"a\textbf{b}", "ab", ["b"]),
    (r"\textbf{~a}", "a", ["a"]),
])
def test_bold(tex: str, text: str, bold: list[str], tmp_path: Path) -> None:
    (tree,) = build(rf"\section{{T}} {tex}", tmp_path)
    assert prose(tree) == f"T {text}"
    assert [" ".join(node.astext().split()) for node in tree.findall(nodes.strong)] == bold


def test_paragraphs_have_their_lines() -> None:
    tex = "\\section{T}\n one\ntwo\n \t\n% c\n\\textbf{three}\n\n four {} \n\n \n"
    document = tex2myst.parse(tex, "book.tex")
    assert [(plain_text(block.inlines), block.place.line) for block in document.root.blocks] == [
        ("one two", 2), ("three", 6), ("four", 8),
    ]


def test_lists_in_a_row_and_within_each_other(tmp_path: Path) -> None:
    (tree,) = build(r"""\section{T}
\begin{enumerate} \item a
\begin{enumerate} \item b \end{enumerate}
c
\begin{verbatim}
d
\end{verbatim}
\item e

f
\end{enumerate}
\begin{enumerate}
% nothing
\item g
\end{enumerate}""", tmp_path)

    def outline(node: nodes.Element) -> list:
        parts = (nodes.enumerated_list, nodes.list_item)
        return [outline(child) if isinstance(child, parts) else child.astext() for child in node.children]

    assert [outline(child) for child in tree[0].children[1:]] == [
        [["a", [["b"]], "c", "d\n"], ["e", "f"]], [["g"]],
    ]


def test_pages_and_depths_follow_the_headings(tmp_path: Path) -> None:
    trees = build(r"before \chapter{A} a \subsection{B} b \section{C} c \section*{C} c2 \subsection{D} d "
                  r"\chapter{Index} i \section{\textbf{E} \& f}", tmp_path)
    assert [[(title.astext(), _depth(title)) for title in tree.findall(nodes.title)] for tree in trees] == [
        [("book", 1)], [("A", 1), ("B", 2)], [("C", 1)], [("C", 1), ("D", 2)], [("Index", 1)], [("E & f", 1)],
    ]
    assert " ".join(prose(tree) for tree in trees) == "book before A a B b C c C c2 D d Index i E & f"
    assert sorted(path.name for path in (tmp_path / "pages").glob("*.md")) == [
        "a.md", "c-2.md", "c.md", "e-f.md", "index-2.md", "index.md",
    ]


def nested_titles(section: Section) -> list:
    return [plain_text(section.title), *(nested_titles(child) for child in section.sections)]


@pytest.mark.parametrize(("tex", "expected"), [
    (r"\chapter{A}\section{B}\subsection{C}\subsection{D}\section{E}\section{F}",
     ["A", ["B", ["C"], ["D"]], ["E"], ["F"]]),
    (r"\section{A}\chapter{B}\subsection{C}\section{D}", ["_x_", ["A"], ["B", ["C"], ["D"]]]),
    (r"before \section{A}", ["_x_", ["A"]]),
    ("", ["_x_"]),
])
def test_headings_make_a_tree(tex: str, expected: list) -> None:
    """One that holds all others is the root; else the root has the name of the file."""
    assert nested_titles(tex2myst.parse(tex, "_x_.tex").root) == expected


def _depth(title: nodes.Node) -> int:
    return 0 if title.parent is None else isinstance(title.parent, nodes.section) + _depth(title.parent)


CODE = "\tiptables  \\x{} %$ }\n\n\u00e9 -{} - \\begin{a}   \n"


def test_code_keeps_every_byte(tmp_path: Path) -> None:
    tex = rf"\section{{T}}\begin{{verbatim}}{chr(10)}{CODE}--{{}}-{{}}-a\end{{verbatim}}"
    (tree,) = build(tex, tmp_path)
    (block,) = tree.findall(nodes.literal_block)
    assert Path(block["source"]).read_bytes() == f"{CODE}----a".encode()
    assert block["language"] == "text"
    document = tex2myst.parse(tex, "book.tex")
    assert document.root.blocks[0].place.line == 2
    assert document.reports == ["book.tex:5: repaired, -{}- is --: --{}-{}-a\\end{verbatim}"] * 2


def test_fixme_is_reported_wherever_it_stands() -> None:
    document = tex2myst.parse("\\section{FIXME title}\na\n\\textbf{FIXME} b FIXME\n"
                              "\\begin{verbatim}\n\n# FIXME\n\\end{verbatim}", "x.tex")
    assert document.reports == [
        "x.tex:1: open question: \\section{FIXME title}",
        "x.tex:3: open question: \\textbf{FIXME} b FIXME",
        "x.tex:3: open question: \\textbf{FIXME} b FIXME",
        "x.tex:6: open question: # FIXME",
    ]


FIGURES = r"""\section{S}
\begin{figure}[h]\resizebox{1cm}{!}{\includegraphics{figs/a b.eps}}
\caption{A \emph{caption}\footnote{note}.}\label{fig:a}\end{figure}
Figure~\ref{fig:a}, Figure~\ref{fig:b}, Table~\ref{t}, \ref{no}; \includegraphics{figs/a b} inline.
\begin{figure}\includegraphics{figs/none}\caption{Second}\label{fig:b}\end{figure}
\begin{table}\caption{Tab}\label{t}\begin{tabular}{ll}a & b\\c & d\end{tabular}\end{table}
"""


@pytest.mark.parametrize("builder", ["html", "latex", "man"])
def test_pictures_tables_and_what_refers_to_them(builder: str, tmp_path: Path) -> None:
    (tmp_path / "figs").mkdir()
    (tmp_path / "figs" / "a b.png").write_bytes(png())
    (tmp_path / "book.tex").write_text(FIGURES)
    run = converter("book.tex", "pages", folder=tmp_path)
    assert [line.rpartition(": ")[0] for line in run.stderr.splitlines()] == [
        "book.tex:4: no label no, which becomes text",
        "book.tex:5: no PNG or JPEG of the picture figs/none, which becomes its name",
    ]
    assert (tmp_path / "pages" / "images" / "a-b.png").read_bytes() == png()
    app = sphinx(tmp_path / "pages", tmp_path / "out", builder)
    tree = app.env.get_doctree("index")
    assert [node["uri"] for node in tree.findall(nodes.image)] == ["images/a-b.png"] * 2
    assert [node.astext() for node in tree.findall(nodes.caption)] == ["A caption1."]
    assert [node.astext() for node in tree.findall(nodes.footnote)] == ["1\n\nnote"]
    words = prose(app.env.get_and_resolve_doctree("index", app.builder, tags=app.tags))
    if builder == "html":  # the other two leave the numbers to TeX, or to nobody
        assert "Figure 1, Figure Second, Table 1, no;" in words
    assert "figs/none Second Tab a b c d" in words


# What is refused


@pytest.mark.parametrize(("tex", "message"), [
    ("a\n b \\unknown{x}", "2:4: unknown macro \\unknown"),
    ("\\textbf{\\unknown}", "1:9: unknown macro \\unknown"),
    ("a\n\\begin{unknown}\\other\\end{unknown}", "2:1: unknown environment unknown"),
    ("\\item a", "1:1: \\item where it cannot stand"),
    ("\\begin{enumerate}a\\item b\\end{enumerate}", "1:18: text before the first \\item of enumerate"),
    ("\\section{ }", "1:1: \\section without a title"),
    ("\\begin{enumerate}\n\\item a", "2:8: Unexpected end of stream, was expecting \\end{enumerate} "
                                     '(begin environment "enumerate" in book.tex:1)'),
    ("a\n}", "2:1: Unexpected mismatching closing brace: '}'"),
    ("a {", "1:4: Unexpected end of stream, was expecting '}' (open brace in book.tex:1)"),
    ("\\begin{verbatim}\na", "1:1: \\begin{verbatim} without \\end{verbatim}"),
    ("a\\", "1:2: a backslash at the end of the file"),
    ("a\n\0", "2:1: not text: character 0x00"),
    ("a\rb", "1:2: not text: character 0x0d"),
    (b"a\nb\x93", "2:2: neither UTF-8 nor Latin-1: character 0x93"),
    ("{" * 5000 + "}" * 5000, "1:61: more than 60 groups and environments in each other"),
    ("", "1:1: an empty file"),
    (" \n\n", "1:1: an empty file"),
    ("\\textbf\\emph{a}", "1:8: \\emph needs braces around it"),
    ("\\caption{a}", "1:1: \\caption where it cannot stand"),
    ("\\footnote{\\section{a}}", "1:11: \\section where it cannot stand"),
    ("\\section{\\begin{quote}a\\end{quote}}", "1:10: a block in what has to be a line"),
    ("\\'{\\ref{a}}", "1:1: an accent on something that is no letter"),
    ("a\n \\input{no}", "2:2: \\input: there is no file no in ."),
    ("\\include{}", "1:1: \\include: there is no file  in ."),
    ("\\input{book}", "1:1: \\input: book includes itself"),
    ("\\def\\x{\\x}\na \\x", "2:3: \\x is defined by way of itself"),
    ("\\def\\x{a\\y}\\def\\y{b\\x}\\x", "1:23: \\x is defined by way of itself"),
    ("\\newenvironment{e}{\\begin{e}}{}\\begin{e}", "1:32: more than 60 groups and environments in each other"),
    ("\\newcommand{x}{y}", "1:13: \\newcommand of something that is no macro"),
    ("\\newcommand{\\x}[q]{y}", "1:17: \\newcommand with a number of arguments that is none"),
    ("\\newcommand{\\x}{#1}", "1:17: an argument #1 that is not declared"),
    ("\\newcommand{\\x}[1][a{b}\\x[a", "1:19: this bracket is not closed"),
    ("\\newcommand{\\x}", "1:1: \\newcommand lacks an argument"),
    ("\\def\\x", "1:1: \\def lacks an argument"),
    ("\\def\\x#1{a}\\x", "1:12: \\x lacks an argument"),
    ("\\def\\x#1{a}{\\x}", "1:13: \\x lacks an argument"),
    ("\\def\\x#1{a}\\x{b", "1:14: this brace is not closed"),
    ("\\def\\x#1.{a}\\x b", "1:13: \\x lacks '.' behind its argument"),
    ("\\def\\x(#1){a}\\x[b]", "1:14: \\x lacks '(' before its arguments"),
    ("\\iffalse a", "1:1: \\iffalse without \\fi"),
    ("\\iffalse a\\else b\\fi", "1:11: unknown macro \\else"),
    ("\\verb|a\nb|", "1:1: \\verb does not end"),
    ("\\url{a", "1:1: \\url does not end"),
    ("\\begin a", "1:1: \\begin without the name of an environment"),
    ("\\end a", "1:1: \\end without the name of an environment"),
    ("\\begin{quote}\\begin{center}\\end{quote}",
     "1:28: Unexpected mismatching closing environment: 'quote', was expecting 'center' "
     '(begin environment "center" in book.tex:1)'),
])
def test_refused_with_one_line_and_nothing_written(tex: str | bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "book.tex").write_bytes(tex if isinstance(tex, bytes) else tex.encode())
    run = converter("book.tex", "new/out", folder=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"book.tex:{message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["book.tex"]


def test_missing_input(tmp_path: Path) -> None:
    run = converter("book.tex", "out", folder=tmp_path)
    assert (run.returncode, run.stderr) == (2, "book.tex: No such file or directory\n")
    assert not list(tmp_path.iterdir())


# Where it writes


def test_writes_again_over_its_own_output(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    folder.write({"index.md": b"1", "code/a.sh": b"2", "old/b.md": b"3"}, out)
    folder.write({"index.md": b"4", "code/a.sh": b"2"}, out)
    assert set(tree_of(out)) == {"index.md", "code", "code/a.sh", folder.MANIFEST}
    assert (out / "index.md").read_text() == "4"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_writes_to_an_empty_folder_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    folder.write({"index.md": b"1"}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "index.md").read_text() == "1"


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    folder.write({"index.md": b"1"}, tmp_path / "out")
    (tmp_path / "made").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "made").stat().st_mode


@pytest.mark.parametrize(("change", "name"), [
    (lambda out: (out / "mine.md").write_text(""), "mine.md"),
    (lambda out: (out / "code" / "mine").write_text(""), "code/mine"),
    (lambda out: (out / "empty").mkdir(), "empty"),
    (lambda out: (out / "index.md").write_text("mine"), "index.md"),
    (lambda out: (out / folder.MANIFEST).unlink(), "code"),
    (lambda out: (out / folder.MANIFEST).write_bytes(b"\xff"), "code"),
    (lambda out: (out / "index.md").symlink_to((out / "index.md").rename(out.parent / "x")), "index.md"),
    (lambda out: (out / "code").symlink_to((out / "code").rename(out.parent / "x")), "code"),
])
def test_does_not_touch_what_it_did_not_write(change, name: str, tmp_path: Path) -> None:
    shutil.copy(CHAPTER, tmp_path / "book.tex")
    assert converter("book.tex", "out", folder=tmp_path).returncode == 0
    change(tmp_path / "out")
    before = tree_of(tmp_path)
    run = converter("book.tex", "out", folder=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"out: not written to, as {name} in it is not as this program wrote it\n"
    assert tree_of(tmp_path) == before


def test_output_that_is_a_file(tmp_path: Path) -> None:
    shutil.copy(CHAPTER, tmp_path / "book.tex")
    run = converter("book.tex", "book.tex", folder=tmp_path)
    assert (run.returncode, run.stderr) == (2, "book.tex: not a folder\n")
    assert (tmp_path / "book.tex").read_bytes() == CHAPTER.read_bytes()


@pytest.mark.parametrize(("step", "number"), [("builtins.open", 5), ("os.rename", 2)])  # the second write, and the swap
def test_a_failure_while_writing_leaves_the_old_output(
    step: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    folder.write({"index.md": b"1", "a.md": b"2"}, out)
    before = tree_of(tmp_path)
    module, _, function = step.partition(".")
    real, calls = getattr(sys.modules[module], function), []

    def fails_once(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == number:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(step, fails_once)
        with pytest.raises(OSError, match="No space left"):
            folder.write({"index.md": b"3", "b.md": b"4"}, out)
    where = str(calls[number - 1][0])
    assert ".tex2myst-" in where and where.endswith("b.md" if step == "builtins.open" else "new")
    assert tree_of(tmp_path) == before
