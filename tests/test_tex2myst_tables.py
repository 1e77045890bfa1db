# SPDX-License-Identifier: MIT
"""The converter's tables: each entry does what it should, and without it a manual is not converted the same."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
from pylatexenc.latex2text import LatexNodes2Text

from latex import tex2myst
from latex.converter import myst, source, tables

ARGUMENTS = {"{": "{1}", "[": "[2]", "*": "*", "=": "=3pt plus 4pt"}


def converted(tex: str) -> dict[str, str]:
    """The pages and files that a LaTeX text becomes; a refusal under the name ``error``."""
    try:
        document = tex2myst.parse(tex, "book.tex")
    except tex2myst.TexError as error:
        return {"error": str(error)}
    files = {name: content.decode() for name, content in myst.render(document).items()}
    return files | {"reports": "\n".join(document.reports)}


def text_of(tex: str) -> str:
    """What a paragraph becomes."""
    result = converted(r"\section{T}" + tex)
    assert "error" not in result, result
    return result["index.md"].removeprefix("# T\n\n").rstrip("\n")


def used(name: str, signs: str, content: str = "x") -> str:
    """A macro with all its arguments, the last of which is ``content``."""
    arguments = "".join(ARGUMENTS[sign] for sign in signs)
    if signs.endswith("{"):
        arguments = arguments.removesuffix("{1}") + "{" + content + "}"
    return rf"\{name}{arguments}" + ("" if arguments or not name[0].isalpha() else " ")


def entries(*names: str) -> list:
    return [pytest.param(name, key, id=f"{name}-{key!r}") for name in names for key in getattr(tables, name)]


# The plain tables


@pytest.mark.parametrize(("table", "name"), entries("LAYOUT"))
def test_layout_is_dropped_with_its_arguments(table: str, name: str) -> None:
    assert text_of(f"a\n{used(name, tables.LAYOUT[name])}b") in ("a\nb", "a\n b")


@pytest.mark.parametrize(("table", "name"), entries("PARAGRAPH_ENDS"))
def test_paragraph_ends(table: str, name: str) -> None:
    assert text_of(f"a {used(name, tables.PARAGRAPH_ENDS[name])} b") == "a\n\nb"


@pytest.mark.parametrize("name", tables.CHARACTERS)
def test_characters(name: str) -> None:
    assert text_of(rf"a\{name}b").replace("\\", "") == f"a{name}b"


@pytest.mark.parametrize("name", sorted(set(tables.SYMBOLS) - {
    "AA", "BibTeX", "LaTeXe", "P", "euro", "lq", "rq", "slash", "textasciigrave", "textbackslash", "textbar",
    "textdegree", "textdollar", "textgreater", "textless", "textquotedbl", "textquotesingle", "textcopyright",
    "textunderscore", "dag", "ddag", "LaTeX", "S", "TeX", "copyright", "pounds", "textasciicircum",
}))
def test_symbols_are_those_of_pylatexenc(name: str) -> None:
    expected = LatexNodes2Text().latex_to_text(rf"a\{name}{{}}b")
    assert text_of(rf"a\{name}{{}}b").replace("\\", "") == expected.replace("...", "…")


@pytest.mark.parametrize(("name", "text"), [
    ("AA", "Å"), ("BibTeX", "BibTeX"), ("LaTeXe", "LaTeX2e"), ("P", "¶"), ("euro", "€"), ("lq", "‘"), ("rq", "’"),
    ("slash", "/"), ("textasciigrave", r"\`"), ("textbackslash", r"\\"), ("textbar", "|"), ("textdegree", "°"),
    ("textdollar", r"\$"), ("textgreater", ">"), ("textless", r"\<"), ("textquotedbl", '"'),
    ("textquotesingle", "'"), ("textcopyright", "©"), ("textunderscore", "_"), ("dag", "†"), ("ddag", "‡"),
    ("LaTeX", "LaTeX"), ("S", "§"), ("TeX", "TeX"), ("copyright", "©"), ("pounds", "£"), ("textasciicircum", "^"),
])
def test_symbols(name: str, text: str) -> None:
    assert text_of(rf"a\{name}{{}}b") == f"a{text}b"


@pytest.mark.parametrize(("mark", "letter"), [(mark, letter) for mark in tables.ACCENTS for letter in "aei"])
def test_accents_are_those_of_pylatexenc(mark: str, letter: str) -> None:
    assert text_of(rf"a\{mark}{{{letter}}}b") == LatexNodes2Text().latex_to_text(rf"a\{mark}{{{letter}}}b")


def test_accents_take_the_place_of_the_dot() -> None:
    assert text_of(r"\'\i \'{\i}\^e\"o") == "ííêö"


@pytest.mark.parametrize(("tex", "text"), [
    (r"a\~{}b", "a~b"), (r"a\^{} b", "a^ b"), (r"\texttt{\~{}/x}", "`~/x`"), (r"a\'{}b", "a´b"), (r"a\"{}b", "a¨b"),
    (r"a\`{}b", "a\\`b"), (r"a\.{}b", "a˙b"), (r"a\={}b", "a¯b"), (r"a\c{}b", "ab"),
])
def test_accents_on_nothing(tex: str, text: str) -> None:
    assert text_of(tex) == text


def test_every_accent_on_nothing_is_tested() -> None:
    tested = {re.search(r"\\(.)\{}", tex)[1] for tex, _ in test_accents_on_nothing.pytestmark[0].args[1]}
    assert set(tables.BARE_ACCENTS) <= tested


@pytest.mark.parametrize("name", tables.SPACES)
def test_spaces(name: str) -> None:
    line_end = "\n" if name == "\r" else ""  # which does not stand alone
    assert text_of(rf"a\{name}{line_end}{{}}b").split() == ["a", "b"]


@pytest.mark.parametrize("name", tables.SPACES_WITH_ARGUMENT)
def test_spaces_with_an_argument(name: str) -> None:
    assert text_of(f"a{used(name, tables.SPACES_WITH_ARGUMENT[name], '1cm')}{{}}b") == "a b"


@pytest.mark.parametrize(("name", "text"), [
    *((name, "a") for name in (
        "normalfont rm mdseries rmfamily sc scshape sf sffamily upshape tiny scriptsize footnotesize small "
        "normalsize large Large LARGE huge Huge").split()),
    ("bf", "**a**"), ("bfseries", "**a**"), ("em", "*a*"), ("it", "*a*"), ("itshape", "*a*"), ("sl", "*a*"),
    ("slshape", "*a*"), ("tt", "`a`"), ("ttfamily", "`a`"),
])
def test_switches(name: str, text: str) -> None:
    assert name in tables.SWITCHES
    assert text_of(rf"1 {{\{name} a}} 2") == f"1 {text} 2"


@pytest.mark.parametrize(("name", "text"), [
    *((name, "a") for name in "textmd textnormal textrm textsc textsf textup".split()),
    ("emph", "*a*"), ("textbf", "**a**"), ("textit", "*a*"), ("textsl", "*a*"), ("texttt", "`a`"),
    ("underline", "*a*"), ("uline", "*a*"),
])
def test_styles(name: str, text: str) -> None:
    assert text_of(rf"1 \{name}{{a}} 2") == f"1 {text} 2"


def test_every_style_is_tested() -> None:
    for test, table in ((test_switches, tables.SWITCHES), (test_styles, tables.STYLES)):
        (mark,) = test.pytestmark
        assert {name for name, _ in mark.args[1]} == set(table)


@pytest.mark.parametrize(("tex", "text"), [
    (r"\emph{a \emph{b} c}", "*a* b *c*"), (r"{\bf a {\it b}}", "**a** ***b***"), (r"\textbf{\texttt{a}}", "**`a`**"),
    (r"{\tt a {\em b} c}", "`a` *`b`* `c`"), (r"{\bf a \normalfont b}", "**a** b"),
    (r"{\tt a``b''~c -- d}", '`a"b" c -- d`'),
])
def test_styles_within_styles(tex: str, text: str) -> None:
    assert text_of(tex) == text


@pytest.mark.parametrize(("table", "name"), entries("BOXES", "LINES"))
def test_boxes_and_lines(table: str, name: str) -> None:
    tex = f"1 {used(name, getattr(tables, table)[name], 'a')} 2"
    assert text_of(tex) == ("1 a 2" if table == "BOXES" else "1\n\na\n\n2")


@pytest.mark.parametrize(("tex", "text"), [
    (r"1 \hbox to 1.2in{a\hfil} 2", "1 a 2"), (r"1 \vbox spread \textwidth{a} 2", "1 a 2"), (r"1 \hbox{a} 2", "1 a 2"),
    ("\\parindent\n\n\\begin{quote}a\\end{quote}", "> a"), (r"\parskip\begin{quote}a\end{quote}", "> a"),
    (r"1 \parskip -\parindent plus 1fil minus\parskip 2", "1 2"), ("1 \\parskip\n=\n1pt 2", "1 2"),
    (r"1 \paragraph{} 2", "1\n\n2"),
])
def test_lengths_and_what_stands_behind_them(tex: str, text: str) -> None:
    assert text_of(tex) == text


@pytest.mark.parametrize("name", tables.CONTAINERS)
def test_containers(name: str) -> None:
    arguments = "".join(ARGUMENTS[sign] for sign in tables.CONTAINERS[name])
    assert text_of(rf"1 \begin{{{name}}}{arguments}a\end{{{name}}}2").split("\n\n")[:2] == ["1", "a"]


@pytest.mark.parametrize("name", tables.LEFT_OUT)
def test_left_out_and_reported(name: str) -> None:
    result = converted(rf"\section{{T}}a\{name}{{x}}b")
    assert result["index.md"] == "# T\n\nab\n"
    assert result["reports"].startswith("book.tex:1: left out: ")


@pytest.mark.parametrize("name", tables.LEFT_OUT_ENVIRONMENTS)
def test_environments_left_out_and_reported(name: str) -> None:
    result = converted(rf"\section{{T}}a \begin{{{name}}}x\end{{{name}}}b")
    assert result["index.md"] == "# T\n\na b\n"
    assert result["reports"].startswith("book.tex:1: left out: ")


@pytest.mark.parametrize(("tex", "text"), [
    *((f"${character}$", character) for character in "<>|*=+-/.,:;()[]!?0123456789"),
    *((rf"$\{name}$", text) for name, text in (
        ("#", "#"), ("%", "%"), ("&", "&"), ("_", "_"), ("backslash", "\\"), ("bullet", "•"), ("cdot", "·"),
        ("dag", "†"), ("dagger", "†"), ("ddag", "‡"), ("ddagger", "‡"), ("dots", "…"), ("gt", ">"), ("ldots", "…"),
        ("lt", "<"), ("mid", "|"), ("pm", "±"), ("rightarrow", "→"), ("sim", "~"), ("times", "×"), ("to", "→"),
        ("{", "{"), ("}", "}"))),
    (r"{\tt vif$<$id$>$}", "`vif<id>`"), (r"$x$", "{math}`x`"), (r"$\leq$", r"{math}`\leq`"),
    (r"\ensuremath{\to}", "→"), (r"\(x_1\)", "{math}`x_1`"), (r"\[x\]", "```{math}\n\nx\n```"),
    (r"$$x$$", "```{math}\n\nx\n```"),
])
def test_mathematics(tex: str, text: str) -> None:
    shown = text_of(f"a {tex}" if "math}\n" not in text else tex)
    assert shown.removeprefix("a ") in (text, "\\" + text)


def test_every_sign_of_mathematics_is_tested() -> None:
    tested = {tex for tex, _ in test_mathematics.pytestmark[0].args[1]}
    assert {f"${character}$" for character in tables.MATH_CHARACTERS.strip()} <= tested
    assert {rf"$\{name}$" for name in tables.MATH_SYMBOLS} <= tested


@pytest.mark.parametrize(("tex", "text"), [
    ("``a''", "“a”"), ("`a'", "‘a’"), ("a---b--c", "a—b–c"), ("a~b", "a\N{NO-BREAK SPACE}b"),
])
def test_ligatures(tex: str, text: str) -> None:
    assert text_of(tex) == text


# Macros and environments that become something: LaTeX, and a part of what it becomes

MACROS = {
    **{name: (rf"1 \{name}{{A}} a", "A\n\na") for name in tables.HEADINGS},
    "\\": (r"a\\ b", "a \\\nb"), "and": (r"a \and b", "a \\\nb"), "linebreak": (r"a\linebreak b", "a \\\nb"),
    "newline": (r"a\newline b", "a \\\nb"),
    "cr": (r"a\cr b", "a \\\nb"), "tabularnewline": (r"a\tabularnewline b", "a \\\nb"),
    "bibitem": (r"\begin{thebibliography}{9}\bibitem{a}b\bibitem[X]{c}d\end{thebibliography}",
                "# Bibliography\n\n[\\[1\\]]{#a}\n: b\n\n[\\[X\\]]{#c}\n: d"),
    "caption": (r"\begin{table}\begin{tabular}{ll}a&b\end{tabular}\caption{c}\end{table}", ":::{list-table} c"),
    "cite": (r"\cite[p.~3]{a,b}\begin{thebibliography}{9}\bibitem{a}c\bibitem[X]{b}d\end{thebibliography}",
             "\\[{ref}`1 <a>`, {ref}`X <b>`, p.\N{NO-BREAK SPACE}3\\]"),
    "ensuremath": (r"\ensuremath{x}", "{math}`x`"),
    "footnote": ("a\\footnote[3]{b\n\nc} d", "a[^1] d\n\n[^1]: b\n\n    c"),
    "thanks": (r"a\thanks{b}", "a[^1]\n\n[^1]: b"),
    "href": (r"\href{http://a.b/\%c}{d}", "[d](<http://a.b/%c>)"),
    "htmladdnormallink": (r"\htmladdnormallink{d}{http://a.b}", "[d](<http://a.b>)"),
    "includegraphics": (r"\includegraphics[width=1cm]{a.eps}", "a.eps"),
    "item": (r"\begin{itemize}\item a\item[b] c\end{itemize}", "- a\n- b c"),
    "label": (r"\label{L x}\ref{L x}", "(l-x)=\n# T\n\n{ref}`l-x`"),
    "ref": (r"\begin{enumerate}\item a\item\label{l}b\end{enumerate}\ref{l}", "2. (l)=\n   b\n\n{ref}`2 <l>`"),
    "pageref": (r"\label{l}\pageref{l}", "{ref}`l`"),
    "multicolumn": (r"\begin{tabular}{ll}\multicolumn{2}{l}{a}\\b&c\end{tabular}", "* - a\n  -\n* - b\n  - c"),
    "multirow": (r"\begin{tabular}{ll}\multirow{2}{*}{a}&b\end{tabular}", "* - a\n  - b"),
    "path": (r"\path{/a_%b}", "`/a_%b`"),
    "title": (r"\title{X}", "# X"),
    "today": (r"\date{\today}", "{sub-ref}`today`"),
    "usepackage": (r"\usepackage[latin1]{inputenc}a", "# T\n\na"),
    "url": (r"\url{http://a.b/c_d}", "<http://a.b/c_d>"),
    "verb": (r"\verb|a{-{}-b|", "`a{--b`"),
}
ENVIRONMENTS = {
    "description": (r"\begin{description}\item[a]b\item c\end{description}", "a\n: b\n\n&nbsp;\n: c"),
    "displaymath": (r"\begin{displaymath}x\end{displaymath}", "```{math}\n\nx\n```"),
    "enumerate": (r"\begin{enumerate}\item a\item b\end{enumerate}", "1. a\n2. b"),
    "equation": (r"\begin{equation}\label{e}x\end{equation}\ref{e}", "```{math}\n:label: e\n\nx\n```\n\n{eq}`e`"),
    "equation*": (r"\begin{equation*}x\end{equation*}", "```{math}\n\nx\n```"),
    "figure": (r"\begin{figure}[h]a\caption{b}\label{f}\end{figure}\ref{f}", "a\n\n(f)=\nb\n\n{ref}`b <f>`"),
    "figure*": (r"\begin{figure*}a\caption{b}\end{figure*}", "a\n\nb"),
    "itemize": (r"\begin{itemize}\item a\end{itemize}\begin{itemize}\item b\end{itemize}", "- a\n\n* b"),
    "list": (r"\begin{list}{-}{\setlength{\parsep}{0pt}}\item a\item[b] c\end{list}", "- a\n- b c"),
    "longtable": (r"\begin{longtable}{ll}\caption{c}a&b\\\endhead c&d\end{longtable}",
                  ":::{list-table} c\n:header-rows: 1\n\n* - a\n  - b\n* - c\n  - d\n:::"),
    "lstlisting": ("\\begin{lstlisting}[language=C]\na\n\\end{lstlisting}", "```{literalinclude} code/t-1.txt"),
    "quotation": (r"\begin{quotation}a\end{quotation}", "> a"),
    "quote": ("\\begin{quote}a\n\nb\\end{quote}", "> a\n>\n> b"),
    "table": (r"\begin{table}\begin{tabular}{ll}a&b\end{tabular}\caption{c}\label{t}\end{table}\ref{t}",
              ":::{list-table} c\n:name: t\n\n* - a\n  - b\n:::\n\n{numref}`{number} <t>`"),
    "table*": (r"\begin{table*}a\end{table*}", "a"),
    "tabular": (r"\begin{tabular}{l|l}a&b\\\hline c&\\d&e\end{tabular}",
                ":::{list-table}\n:header-rows: 1\n\n* - a\n  - b\n* - c\n  -\n* - d\n  - e\n:::"),
    "tabular*": (r"\begin{tabular*}{1cm}{ll}a&b\end{tabular*}", "* - a\n  - b"),
    "thebibliography": MACROS["bibitem"],
    "trivlist": (r"\begin{trivlist}\item a\end{trivlist}", "- a"),
    "Verbatim": ("\\begin{Verbatim}\na\n\\end{Verbatim}", "```{literalinclude} code/t-1.txt"),
    "verbatim": ("\\begin{verbatim}\n# xm list\n\\end{verbatim}",
                 "```{literalinclude} code/t-1.txt\n:language: console\n:force:\n```"),
    "verbatim*": ("\\begin{verbatim*}\na\n\\end{verbatim*}", "```{literalinclude} code/t-1.txt"),
    "verse": (r"\begin{verse}a\end{verse}", "> a"),
}


@pytest.mark.parametrize(("table", "name"), entries("MACROS", "ENVIRONMENTS"))
def test_what_becomes_something(table: str, name: str) -> None:
    tex, part = globals()[table][name]
    result = converted(r"\section{T}" + tex)
    shown = "\n\n".join(text.rstrip("\n") for file, text in result.items() if file.endswith(".md"))
    assert part in shown or any(part in page for page in result.values()), result


ALL = entries("ACCENTS", "BOXES", "CONTAINERS", "ENVIRONMENTS", "HEAD_ENDS", "LAYOUT", "LEFT_OUT", "LIGATURES", "LINES",
              "MACROS", "MATH_SYMBOLS", "PARAGRAPH_ENDS", "RULES", "SPACES", "SPACES_WITH_ARGUMENT", "STYLES",
              "SWITCHES", "SYMBOLS")


def specimen(table: str, name: str) -> str:
    """LaTeX that uses an entry of a table."""
    if table in ("MACROS", "ENVIRONMENTS"):
        return r"\section{T}" + globals()[table][name][0]
    entry = getattr(tables, table)[name]
    match table:
        case "CONTAINERS":
            tex = rf"\begin{{{name}}}" + "".join(ARGUMENTS[sign] for sign in entry) + rf"a\end{{{name}}}"
        case "RULES" | "HEAD_ENDS":
            tex = rf"\begin{{tabular}}{{ll}}a&b\\{used(name, entry)}c&d\\e&f\end{{tabular}}"
        case "LIGATURES":
            tex = f"a{name}b"
        case "MATH_SYMBOLS":
            tex = rf"a $\{name}$"
        case "ACCENTS":
            tex = rf"a\{name}{{e}}"
        case "SYMBOLS" | "SPACES" | "SWITCHES" | "STYLES":
            tex = rf"a\{name}{{b}}c".replace("\r", "\r\n")
        case _:
            tex = f"a {used(name, entry)}b"
    return r"\section{T}" + tex


@pytest.mark.parametrize(("table", "name"), ALL)
def test_without_an_entry_the_result_is_another(table: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tex = specimen(table, name)
    before = converted(tex)
    assert "error" not in before, before
    monkeypatch.delitem(getattr(tables, table), name)
    if table == "LIGATURES":
        pattern = "|".join(sorted(map(re.escape, tables.LIGATURES), key=len, reverse=True))
        monkeypatch.setattr("latex.converter.reading._LIGATURE", re.compile(pattern))
    try:
        after = converted(tex)
    except IndexError:  # the parser did not read the arguments
        return
    assert after != before


@pytest.mark.parametrize("name", tables.ROW_ENDS)
def test_ends_of_rows(name: str) -> None:
    assert "* - a\n  - b\n* - c\n  - d" in text_of(rf"\begin{{tabular}}{{ll}}a&b\{name} c&d\end{{tabular}}")


FILES = {"input": r"a \input{b}", "include": r"a \include{b}", "bibliography": r"a \bibliography{b}",
         "endinput": r"a \endinput b"}


@pytest.mark.parametrize("name", FILES)
def test_without_what_tex_does_with_files_the_result_is_another(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, tex in {"a.tex": FILES[name], "b.tex": "b", "a.bbl": "c"}.items():
        (tmp_path / file).write_text(tex)
    before = myst.render(tex2myst.read(tmp_path / "a.tex"))
    monkeypatch.delitem(source._PRIMITIVES, name)
    with pytest.raises(tex2myst.TexError, match=rf"unknown macro \\{name}"):
        tex2myst.read(tmp_path / "a.tex")
    assert before["index.md"].startswith(b"# a\n\na")


@pytest.mark.parametrize("name", sorted(set(source._PRIMITIVES) - set(FILES)))
def test_without_what_tex_does_itself_the_result_is_another(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    specimens = {
        "begin": r"\newenvironment{e}{a}{b}\begin{e}x\end{e}", "end": r"\newenvironment{e}{a}{b}\begin{e}x\end{e}",
        "def": r"\def\x{a}\x", "gdef": r"{\gdef\x{a}}\x", "edef": r"\edef\x{a}\x", "xdef": r"{\xdef\x{a}}\x",
        "long": r"\long\def\x{a}\x", "global": r"\global\def\x{a}\x", "let": r"\let\x=\bf {\x a}",
        "newcommand": r"\newcommand{\x}{a}\x", "renewcommand": r"\renewcommand{\x}{a}\x",
        "providecommand": r"\providecommand{\x}{a}\x", "DeclareRobustCommand": r"\DeclareRobustCommand{\x}{a}\x",
        "newenvironment": r"\newenvironment{e}{a}{b}\begin{e}x\end{e}",
        "renewenvironment": r"\renewenvironment{e}{a}{b}\begin{e}x\end{e}",
        "begingroup": r"\begingroup\bf a} b", "endgroup": r"{\bf a\endgroup b", "bgroup": r"\bgroup\bf a} b",
        "egroup": r"{\bf a\egroup b",
        "makeatletter": r"\makeatletter\def\a@b{c}\a@b", "makeatother": r"\makeatletter\makeatother a",
        "xspace": r"\def\x{a\xspace}\x b", "latexhtml": r"\latexhtml{a}{b}", "iffalse": r"a\iffalse b\fi",
        "verb": r"\verb|%\x|", "url": r"\url{http://a/%7e}", "path": r"\path{%a}",
    }
    before = converted(r"\section{T} " + specimens[name])
    assert "error" not in before
    monkeypatch.delitem(source._PRIMITIVES, name)
    assert converted(r"\section{T} " + specimens[name]) != before


@pytest.mark.parametrize(("code", "suffix", "language"), [
    ("#!/usr/bin/python\nx", ".py", "python"), ("import os\n", ".py", "python"), ("disk = ['a']\n", ".py", "python"),
    ("iptables -A INPUT\n", ".sh", "sh"), ("# comment\niptables -A INPUT\n", ".sh", "sh"), ("#!/bin/sh\n", ".sh", "sh"),
    ("# xm list\n", ".txt", "console"), ("root@a# xm list\n", ".txt", "console"),
    ("<?xml version='1'?>", ".xml", "xml"),
    ("--- a\n+++ b\n", ".diff", "diff"), ("#include <a.h>\n", ".c", "c"), ("typedef int a;\n", ".c", "c"),
    ("(xend-relocation-server yes)\n", ".lisp", "lisp"), ("all: a\n\tb\n", ".mk", "make"),
    ("[a]\nb=c\n", ".ini", "ini"),
    ("title Xen\n", ".txt", "text"), ("", ".txt", "text"),
])
def test_languages(code: str, suffix: str, language: str) -> None:
    result = converted("\\section{T}\\begin{verbatim}\n" + code + "\\end{verbatim}")
    assert f"code/t-1{suffix}" in result
    assert f":language: {language}\n" in result["index.md"]
