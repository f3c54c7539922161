"""The command that prints a script for a shell: ``completion``."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options and their values.

    \b
    bash, in ~/.bashrc:   eval "$(paretune completion bash)"
    zsh, in ~/.zshrc:     eval "$(paretune completion zsh)"
    fish:                 paretune completion fish > ~/.config/fish/completions/paretune.fish
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    command = click.get_current_context().find_root().command
    click.echo(made(command, {}, "paretune", "_PARETUNE_COMPLETE").source())
