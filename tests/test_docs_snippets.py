"""Every command and snippet of the documentation is one that works."""

import ast
import importlib
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import yaml
from pymdownx.slugs import slugify

import paretune
from paretune.search.cli.main import main
from paretune.search.configure.schema import StudyConfig

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GENERATED = {"command-line.md", "study-file.md"}
"""Written from the code, by `python docs/reference.py`."""
PAGES = [ROOT / "README.md", *sorted(p for p in DOCS.glob("*.md") if p.name not in GENERATED)]
BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)
SPAN = re.compile(r"`(paretune(?:\s[^`]*)?)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
MARKDOWN = [
    *PAGES,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *ROOT.glob("experiments/*/*.md"),
]
slug = slugify(case="lower")


class Snippet(NamedTuple):
    """Something of a page: where it stands, and its text."""

    where: str
    text: str


def blocks(page: Path, kind: str | None = None) -> Iterator[Snippet]:
    """Yield the fenced blocks of a page, all or those of one language."""
    text = page.read_text("utf-8")
    for found in BLOCK.finditer(text):
        if kind is None or found["kind"].split(" ")[0] == kind:
            line = text[: found.start()].count("\n") + 1
            yield Snippet(f"{page.name}:{line}", found["text"])


def command_lines(page: Path, program: str) -> Iterator[Snippet]:
    """Yield the lines of a page's blocks that call a program, without prompts."""
    for block in blocks(page):
        for line in block.text.replace("\\\n", " ").splitlines():
            line = line.strip().removeprefix("$ ")
            if line.startswith(f"{program} "):
                yield Snippet(block.where, line)


def all_of(kind: str) -> list[Any]:
    found = [each for page in PAGES for each in blocks(page, kind)]
    return [pytest.param(each.text, id=each.where) for each in found]


def lines_of(program: str) -> list[Any]:
    found = dict.fromkeys(each for page in PAGES for each in command_lines(page, program))
    assert found
    return [pytest.param(text, id=f"{where} {text[:60]}") for where, text in found]


@pytest.fixture
def any_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that a command names need not be there: what is checked is the command."""
    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, ctx: Path(value))


@pytest.mark.parametrize("line", lines_of("paretune"))
@pytest.mark.usefixtures("any_path")
def test_a_command_parses(line: str) -> None:
    """Its options exist, their values are of the right kind, and no argument is missing."""
    arguments = shlex.split(line, comments=True)[1:]
    context = main.make_context("paretune", arguments)
    command: click.Command = main
    while isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        assert name is not None
        command = found
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_sentences_exist(page: Path) -> None:
    """Commands between backticks may be cut short: command and options must exist."""
    for span in SPAN.findall(BLOCK.sub("", page.read_text("utf-8"))):
        words = span.replace("…", " ").split()[1:]
        command: click.Command = main
        for word in words:
            if isinstance(command, click.Group) and not word.startswith("-"):
                if word in {"STUDY", "COMMAND"} or not word.isalpha():
                    break
                assert word in command.commands, span
                command = command.commands[word]
        known = {"--help", "--version"} | {
            option for each in command.params for option in [*each.opts, *each.secondary_opts]
        }
        used = {word.split("=")[0].rstrip(",.;:)") for word in words if word.startswith("--")}
        assert used <= known, f"{span}: {used - known}"


@pytest.mark.parametrize("code", all_of("python"))
def test_python_compiles_and_its_imports_exist(code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "paretune":
            module = importlib.import_module(str(node.module))
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no {name.name}"
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "paretune":
                    importlib.import_module(name.name)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "paretune":
            assert hasattr(paretune, node.attr), f"paretune has no {node.attr}"


@pytest.mark.parametrize("text", all_of("yaml"))
def test_yaml_has_keys_of_a_study_file(text: str) -> None:
    parts = yaml.safe_load(text)
    assert set(parts) <= set(StudyConfig.model_fields)
    space = StudyConfig.model_fields["space"].annotation
    assert space is not None
    assert set(parts.get("space", {})) <= set(space.model_fields)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_and_targets_are_there(page: Path) -> None:
    for where, line in command_lines(page, "python"):
        script = next((word for word in line.split() if word.startswith("experiments/")), None)
        assert script is None or (ROOT / script).exists(), f"{where}: {line}"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for _, line in command_lines(page, "make"):
        assert line.split()[1] in targets, line


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Also on pages that are not part of the site."""
    for path, anchor in LINK.findall(BLOCK.sub("", page.read_text("utf-8"))):
        target = (page.parent / path) if path else page
        assert target.exists(), path
        if anchor:
            text = BLOCK.sub("", target.read_text("utf-8"))
            headings = re.findall(r"^#+ (.*)$", text, re.M)
            assert anchor in {slug(each.replace("`", ""), "-") for each in headings}, anchor


def test_the_readme_is_short_and_prints_what_the_evidence_has() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.split()) < 900
    evidence = {line.strip() for line in (DOCS / "evidence.md").read_text("utf-8").splitlines()}
    transcripts = [each for each in blocks(ROOT / "README.md") if "published frontier" in each.text]
    assert transcripts
    for line in transcripts[0].text.splitlines():
        assert line.strip() in evidence, line


def test_the_picture_has_every_trial_of_its_transcript(tmp_path: Path) -> None:
    drawn = runpy.run_path(str(DOCS / "picture.py"))
    section = (DOCS / "evidence.md").read_text("utf-8").split(drawn["SECTION"])[1].split("\n## ")[0]
    assert len(drawn["points"]()) == len(re.findall(r"^\[\d+/60", section, re.M))
    drawn["draw"](tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
