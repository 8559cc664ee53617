"""careplan: the command line."""

from __future__ import annotations

import typer

from server.cli import coordination_check, keeping, load, serve, table

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def careplan() -> None:
    """A FHIR R4 server for care coordination. Its settings come from the environment: docs/settings.md."""


app.command()(serve.serve)
app.command("load")(load.load_command)
app.command()(coordination_check.coordination_check)
app.command()(table.convert)
app.command()(table.export)
app.command()(keeping.verify)
app.command()(keeping.rebuild)
app.command()(keeping.backup)
app.command("copy")(keeping.copy_command)


def main() -> None:
    app()
