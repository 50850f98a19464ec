"""`danlu completion`: Click's own completion scripts."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """\b
    Put the line into your shell's start-up file:
      bash  eval "$(danlu completion bash)"        in ~/.bashrc
      zsh   eval "$(danlu completion zsh)"         in ~/.zshrc
      fish  danlu completion fish | source         in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from danlu.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"Click has no completion for {shell!r}; expected bash, zsh or fish.")
    click.echo(kind(cli, {}, "danlu", "_DANLU_COMPLETE").source())
