"""The `birdflow` command line: which commands there are, and the top-level error handler.

Exit codes: 0 for success, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from birdcore import __version__
from flows.commands import (
    backbones,
    check,
    collect,
    detect,
    export,
    look,
    review,
    run,
    score,
    search,
    segments,
    store,
)
from flows.messages import error_message
from flows.options import Invocation
from flows.terminal import INTERRUPTED, STOPPED, err, out

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="birdflow",
    help="Train bird-sound classifiers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)
store_app = typer.Typer(
    help="Say what a store holds, verify it, and remove what is not needed.",
    no_args_is_help=True,
)
GROUPS: dict[str, tuple[Callable[..., int | None], ...]] = {
    "Train": (check.check, backbones.backbones, run.run, run.plan, run.retry, run.demo),
    "Use": (detect.detect, segments.segments, review.review, search.search, export.export),
    "Look": (look.status, look.lineage, score.score),
    "Collect": (collect.collect, collect.archive),
    "Server": (look.ui,),
}
STORE = (store.ls, store.show, store.verify, store.gc, store.pin, store.unpin)
for panel, commands in GROUPS.items():
    for command in commands:
        app.command(rich_help_panel=panel, context_settings=HELP)(command)
for command in STORE:
    store_app.command(context_settings=HELP)(command)
app.add_typer(store_app, name="store", rich_help_panel="Store", context_settings=HELP)


def _print_version(requested: bool) -> None:
    if requested:
        out.print(f"birdflow {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options that stand before a command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: Words after `birdflow`; those of the process by default.
    """
    invocation = Invocation()
    given: Any = None if arguments is None else list(arguments)
    try:
        code = int(app(given, prog_name="birdflow", standalone_mode=False, obj=invocation) or 0)
    except TyperException as error:
        if message := error.format_message():  # none where the help page was printed instead
            if context := getattr(error, "ctx", None):
                err.print(context.get_usage())
            err.print(f"birdflow: {message}")
        return error.exit_code
    except Exception as error:
        if invocation.debug:
            err.print(traceback.format_exc(), end="")
        err.print(f"birdflow: {error_message(error)}")
        return 1
    if code == INTERRUPTED:
        err.print(STOPPED)
    return code


if __name__ == "__main__":
    sys.exit(main())
