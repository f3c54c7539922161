"""The notebooks as pages of the site: a hook of MkDocs, which ``mkdocs.yml`` names."""

import json
import re
from pathlib import PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

LINK = re.compile(r"\]\((notebooks/[\w-]+)\.ipynb\)")
"""A link from a page to a notebook."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook; the notebook itself stays a file to download."""
    for file in list(files):
        path = PurePosixPath(file.src_uri)
        if path.suffix == ".ipynb":
            page = str(path.with_suffix(".md"))
            files.append(
                File.generated(config, page, content=page_of(file.content_string, path.name))
            )
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let a link to a notebook lead to its page."""
    return LINK.sub(r"](\1.md)", markdown)


def page_of(notebook: str, name: str) -> str:
    """Return a notebook in Markdown, without its outputs.

    The search leaves the page out, because it would find everything twice: the tutorial has the
    same steps.
    """
    title, *rest = map(_markdown, json.loads(notebook)["cells"])
    heading, _, text = title.partition("\n")
    head = ["---", "search: {exclude: true}", "---", "", f"{heading}: notebook", ""]
    download = f"[Download this notebook]({name}), and open it in Jupyter or VS Code."
    return "\n".join([*head, download, text, "", "\n\n".join(rest), ""])


def _markdown(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return text.replace(".ipynb)", ".md)")
    return f"```python\n{text}\n```"
