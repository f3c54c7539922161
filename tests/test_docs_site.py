"""The documentation builds as a site that needs no network."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class Resources(HTMLParser):
    """Collects what a browser would load for a page, links that a reader clicks left out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        loaded = values.get("href") if tag == "link" else values.get("src")
        if loaded and tag != "a":
            self.found.append(loaded)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a strict build, which any warning or broken link ends."""
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").glob("*.md")))  # and the page of wrong addresses
    for page in pages:
        reader = Resources()
        reader.feed(page.read_text("utf-8"))
        assert reader.found
        assert not [each for each in reader.found if re.match(r"(https?:)?//", each)], page.name
        assert 'class="mermaid"' not in page.read_text("utf-8")  # its script would be loaded
        assert "```" not in page.read_text("utf-8"), f"{page.name} shows a block as plain text"
    for style in site.rglob("*.css"):
        text = style.read_text("utf-8")
        assert not re.findall(r"(?:url\(|@import)[\s\"']*(?:https?:)?//", text), style.name


def test_search_works_from_a_folder(site: Path) -> None:
    """Opened as a file, a page takes its index from a script, and a shim instead of a worker."""
    text = (site / "search" / "search_index.js").read_text("utf-8")
    index = json.loads(text.removeprefix("var __index = "))
    found = {each["location"] for each in index["docs"] if "SmoothQuant" in each["text"]}
    assert any(each.startswith("int8.html") for each in found)
    assert (site / "assets" / "iframe-worker.js").exists()


def test_the_reference_has_every_public_name(site: Path) -> None:
    import paretune
    import paretune.metrics

    page = (site / "python-reference.html").read_text("utf-8")
    names = set(re.findall(r'id="(?:[\w.]+\.)?(\w+)"', page))
    assert set(paretune.__all__) | set(paretune.metrics.__all__) <= names
    text = re.sub(r"<[^>]+>", "", page)
    assert not re.findall(r":(?:class|func|meth|mod):|# doctest", text)


def test_a_notebook_is_a_page_with_the_file_to_download(site: Path) -> None:
    for notebook in (ROOT / "docs" / "notebooks").glob("*.ipynb"):
        name = notebook.stem
        assert (site / "notebooks" / notebook.name).read_bytes() == notebook.read_bytes()
        page = (site / "notebooks" / f"{name}.html").read_text("utf-8")
        assert f'href="{notebook.name}"' in page
        assert "mkdtemp" in page
        assert f'href="notebooks/{name}.html"' in (site / f"{name}.html").read_text("utf-8")
