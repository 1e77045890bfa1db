# SPDX-License-Identifier: MIT
"""The converter's reading of files and definitions: one text, and the place of each piece of it."""
from __future__ import annotations

import io
import re
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from latex import tex2myst
from latex.converter import folder, source
from tests.converted import converter, tree_of


def expanded(tex: str) -> str:
    return source.from_text(tex, "book.tex").text


@pytest.mark.parametrize(("tex", "text"), [
    (r"\def\x{a}\x b", "ab"), (r"\def\x#1#2{#2#1}\x{a}b", "ba"), (r"\def\x(#1){#1#1}\x(a)", "aa"),
    (r"\def\x#1.{<#1>}\x a{.}b.c", "<a{.}b>c"), (r"\newcommand{\x}{a}\x{}", "a{}"), (r"\newcommand*\x{a}\x", "a"),
    (r"\newcommand{\x}[2]{#2-#1}\x{a} {b}", "b-a"), (r"\newcommand{\x}[2][d]{#1#2}\x{a}\x[b]{c}", "dabc"),
    (r"\newcommand{\x}[1]{\newcommand{\y}[1]{#1##1}}\x{a}\y{b}", "ab"), (r"\newcommand{\x}[1]{a}\x{b}", "a"),
    (r"\providecommand{\x}{a}\providecommand{\x}{b}\x", "a"), (r"\newcommand{\x}{a}\renewcommand{\x}{b}\x", "b"),
    (r"{\def\x{a}\x}\def\x{b}{\def\x{c}\x}\x", "{a}{c}b"), (r"\def\x{a}{\gdef\x{b}}\x", "{}b"),
    (r"\begingroup\def\x{a}\x\endgroup\def\x{b}\bgroup \x\egroup c", "{a}{b}c"),
    (r"\let\x=\bf\x", r"\bf"), (r"\def\y{a}\let\x\y\def\y{b}\x", "a"),
    (r"\def\x{a\xspace}\x b \x, \x{} \x\ c", r"a b a, a{} a\ c"), (r"\def\x{\bf}\x a", r"\bf a"),
    ("\\def\\x{a}\n\\def\\y{b}\nc", "c"), ("a\n\\newcommand{\\x}[1]{}\\x{b}\nc", "a\n{}\nc"),
    ("a% c\n  b", "ab"), ("a\n% c\n\nb", "a\n\n\nb"), ("a\n%\n%\nb", "a\nb"), (r"a\%b", r"a\%b"),
    (r"\verb|%\x|\def\x{a}", r"\verb|%\x|"),
    ("\\begin{verbatim}\n%\\def\\x{\n\\end{verbatim}%", "\\begin{verbatim}\n%\\def\\x{\n\\end{verbatim}"),
    (r"\newenvironment{e}[1]{<#1}{>}\begin{e}{a}b\end{e}", "<ab>"), (r"\latexhtml{a}{b}", "a"),
    (r"a\iffalse \ifx b\fi c\fi d", "ad"), (r"\makeatletter\def\a@b{c}\makeatother\x\a@b", r"\x\a@b"),
    (r"\makeatletter\def\a@b{c}\a@b", "c"), (r"\def\x{a}\url{\x%}", r"\url{\x%}"),
    ("\\end{document} a", "\\end{document}"),
])
def test_definitions_are_carried_out(tex: str, text: str) -> None:
    assert expanded(tex) == text


def test_places_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.tex").write_text("\\def\\x#1{<#1>}% c\nb \\x{q}\n\\input{sub/c}\ne\\include{d}\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.tex").write_text("% c\n f\n")
    (tmp_path / "d.tex").write_text("g\n\\endinput h\n")
    text = source.load(tmp_path / "a.tex")
    assert text.text == "b <q>\nf\ne\n\ng\n\n\n\n"
    for sign, place in {"b": ("a.tex", 2, 1), "<": ("a.tex", 2, 3), "q": ("a.tex", 2, 6), ">": ("a.tex", 2, 3),
                        "f": ("sub/c.tex", 2, 2), "e": ("a.tex", 4, 1), "g": ("d.tex", 1, 1)}.items():
        found = text.place(text.text.index(sign))
        assert (Path(found.file).relative_to(tmp_path).as_posix(), found.line, found.column) == place
    assert [report.text.removeprefix(f"{tmp_path}/") for report in text.reports] == [
        r"d.tex:2: left out, what stands behind \endinput: \endinput h",
    ]


def test_files_are_found_in_another_root_and_a_bibliography_beside_it(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.tex").write_text("\\include{src/b}\\bibliography{refs}")
    (tmp_path / "src" / "b.tex").write_text("b")
    (tmp_path / "a.bbl").write_text("c")
    run = converter("src/a.tex", "out", "--root", ".", folder=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert (tmp_path / "out" / "index.md").read_text() == "# a\n\nb\n\nc\n"
    run = converter("src/a.tex", "out", folder=tmp_path)
    assert (run.returncode, run.stderr) == (2, "src/a.tex:1:1: \\include: there is no file src/b in src\n")


def test_latin_1_and_windows_line_ends_are_kept_in_code(tmp_path: Path) -> None:
    tex = ("\\section{é}\r\n\r\nà%c\r\n b\r\n\\begin{verbatim}\r\n\té\r\n\\end{verbatim}\r\n")
    (tmp_path / "a.tex").write_bytes(tex.encode("latin-1"))
    run = converter("a.tex", "out", folder=tmp_path)
    assert (run.returncode, run.stderr) == (
        0, "a.tex:1: read as Latin-1, since it is not UTF-8: \\section{\N{LATIN SMALL LETTER E WITH ACUTE}}\n")
    assert (tmp_path / "out/code/e-1.txt").read_bytes() == "\té\r\n".encode("latin-1")
    assert (tmp_path / "out/index.md").read_text() == (
        "# é\n\nàb\n\n```{literalinclude} code/e-1.txt\n:language: text\n:encoding: latin-1\n```\n")


def test_unknown_macros_and_environments_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "a.tex").write_text("a \\foo{b} c\n\\begin{bar}d\\end{bar}")
    assert converter("a.tex", "out", folder=tmp_path).stderr == "a.tex:1:3: unknown macro \\foo\n"
    run = converter("a.tex", "out", "--keep-unknown", folder=tmp_path)
    assert run.stderr.splitlines() == [
        "a.tex:1: kept, unknown macro \\foo: a \\foo{b} c",
        "a.tex:2: kept, unknown environment bar: \\begin{bar}d\\end{bar}",
    ]
    assert (tmp_path / "out/index.md").read_text() == "# a\n\na `\\foo`b c\n\n`\\begin{bar}`\n\nd\n\n`\\end{bar}`\n"


def test_what_stands_where_it_cannot_is_kept_with_its_words(tmp_path: Path) -> None:
    (tmp_path / "a.tex").write_text("a\\item[b]c\\caption[d]{e}f\n")
    assert converter("a.tex", "out", folder=tmp_path).stderr == "a.tex:1:2: \\item where it cannot stand\n"
    run = converter("a.tex", "out", "--keep-unknown", folder=tmp_path)
    assert [line.split(": ")[1] for line in run.stderr.splitlines()] == [
        "kept, \\item where it cannot stand", "kept, \\caption where it cannot stand",
    ]
    assert (tmp_path / "out/index.md").read_text() == "# a\n\na\n\n`\\item` bc\n\n`\\caption` def\n"


@pytest.mark.parametrize(("encoding", "text", "message"), [
    ("latin2", "\xb1", "a.tex:1:1: the encoding latin2: only UTF-8 and Latin-1 are read\n"),
    ("latin2", "a", ""), ("latin1", "\xe9", "b.tex:1: read as Latin-1, since it is not UTF-8: \xe9\n"),
])
def test_an_encoding_that_is_not_read_is_refused(encoding: str, text: str, message: str, tmp_path: Path) -> None:
    tex = rf"\usepackage[{encoding}]{{inputenc}}\input{{b}}"
    (tmp_path / "a.tex").write_text(tex)
    (tmp_path / "b.tex").write_bytes(text.encode("latin-1"))
    assert converter("a.tex", "out", folder=tmp_path).stderr == message


def test_a_manuals_own_headings_are_left_out_and_reported() -> None:
    document = tex2myst.parse("\\renewcommand{\\section}{x}\\section{A}", "book.tex")
    assert document.root.slug == "a"
    assert document.reports[0].startswith("book.tex:1: left out, how this manual makes \\section: ")


def test_growth_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    tex = "\\def\\a{aaaaaaaaaa}" + "".join(
        f"\\def\\{chr(98 + n)}{{{(chr(92) + chr(97 + n)) * 10}}}" for n in range(20)) + "\\u"
    monkeypatch.setattr(source, "GROWTH", 10_000)
    with pytest.raises(tex2myst.TexError, match="grow by more than 10,000 characters"):
        expanded(tex)


TOKENS = st.sampled_from([
    r"\begin{itemize}", r"\end{itemize}", r"\item", r"\item[", "]", r"\begin{tabular}{l}", r"\end{tabular}", "&", r"\\",
    r"\hline", "{", "}", "$", "$$", r"\[", r"\]", "%", "\n", "\n\n", " ", "a", r"\textbf", r"\bf ", r"\def\x#1{", r"\x",
    r"\newcommand{\z}[2][q]{#1#2}", r"\z", r"\newcommand", r"\section", r"\section{A}", r"\label{l}", r"\ref{l}",
    r"\cite{k}", r"\bibitem{k}", r"\begin{thebibliography}{9}", r"\end{thebibliography}", r"\verb|x|", r"\verb",
    r"\url",
    r"\footnote{", r"\caption{c}", r"\begin{figure}", r"\end{figure}", r"\includegraphics{f}", r"\begin{verbatim}",
    r"\end{verbatim}", r"\begin{document}", r"\end{document}", r"\xspace", r"\input{q}", r"\input", r"\parskip=1pt",
    r"\multicolumn{2}{l}{x}", r"\'", r"\let\y=", r"\iffalse", r"\fi", r"\makeatletter", "\\", "#1", "~", "\r\n", "\0",
    "é", r"\begin", r"\end", r"\latexhtml{a}{b}", r"\unknown", r"\begin{unknown}", r"\end{unknown}", r"\\[", r"\tt ",
    r"\newenvironment{e}{(}{)}", r"\begin{e}", r"\end{e}", r"\begin{equation}", r"\end{equation}", r"\endinput",
])


OLD = {"index.md": b"old", "code/a.sh": b"old"}


@settings(max_examples=1000, deadline=None, phases=[Phase.explicit, Phase.generate], database=None,
          suppress_health_check=list(HealthCheck))
@given(st.lists(TOKENS, max_size=25), st.sampled_from([[], ["--keep-unknown"]]),
       st.sampled_from([[], ["--split=none"], ["--split=part"]]), st.booleans())
def test_whatever_comes_in_there_is_one_line_or_a_whole_result(
    tokens: list[str], keep: list[str], split: list[str], again: bool
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        manual, out = Path(scratch, "b.tex"), Path(scratch, "out")
        manual.write_bytes("".join(tokens).encode())
        (Path(scratch) / "q.tex").write_text("q\n")
        if again:
            folder.write(OLD, out)
        before = tree_of(Path(scratch))
        with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()) as stderr:
            status = tex2myst.main([str(manual), str(out), *keep, *split])
        said = stderr.getvalue().splitlines()
        after = tree_of(Path(scratch))
        assert stdout.getvalue() == ""
        assert all(line.startswith(str(Path(scratch))) for line in said)
        if status == 2:
            assert len(said) == 1
            assert after == before
            return
        assert status == 0
        assert {name: after[name] for name in ("b.tex", "q.tex")} == {name: before[name] for name in ("b.tex", "q.tex")}
        assert {name.partition("/")[0] for name in after} == {"b.tex", "q.tex", "out"}
        files = {name.removeprefix("out/"): text for name, text in after.items() if name.startswith("out/")}
        pages = {name.removesuffix(".md"): text.decode() for name, text in files.items() if name.endswith(".md")}
        shown = [name for text in pages.values() for name in re.findall(r"{literalinclude} (\S+)", text)]
        listed = [name for text in pages.values() for toctree in re.findall(r"```{toctree}\n(.*?)```", text, re.DOTALL)
                  for name in re.findall(r"([^ <>\n]+)>?\n", toctree)]
        assert sorted(pages) == sorted(["index", *listed])
        assert {name for name, text in files.items() if text != b"/"} == {
            *(f"{name}.md" for name in pages), *shown, folder.MANIFEST}
        folder.write(OLD, out)  # which it would refuse if anything of it were not as it was written
