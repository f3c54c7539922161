"""The command that writes a first study."""

from __future__ import annotations

from pathlib import Path

import click

_TEMPLATE = Path(__file__).with_name("template")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init(folder: Path) -> None:
    """Write a commented workload.py and study.yaml into FOLDER (this one by default).

    They run as they are; put in your own model and data where it says REPLACE. For an ONNX file,
    `paretune search --onnx` is shorter.
    """
    from paretune.search.configure.study_of_onnx import installed_providers

    files = sorted(file for file in _TEMPLATE.iterdir() if file.is_file())
    there = [file.name for file in files if (folder / file.name).exists()]
    if there:
        raise click.ClickException(
            f"{folder} already has {' and '.join(there)}, and init overwrites nothing: choose "
            f"another folder, `paretune init FOLDER`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    providers = f"[{', '.join(installed_providers())}]"
    for file in files:
        written = file.read_text("utf-8").replace("[CPUExecutionProvider]", providers)
        (folder / file.name).write_text(written, "utf-8")
        click.echo(f"wrote {folder / file.name}")
    click.echo(f"next: paretune search {folder / 'study.yaml'}")
