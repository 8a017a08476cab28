"""The command line: parse, call, print."""

from __future__ import annotations

import io
import sys
import warnings

from glassnet.errors import GlassnetError

__all__ = ["main"]

WRONG_INPUT, INTERRUPTED = 2, 130


def main() -> None:
    """Run the command `glassnet`: exit code 0 on success, 1 where a fit diverged, 2 for wrong input, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names from files may not fit a narrow encoding
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _note
        try:
            code = _run()
        except KeyboardInterrupt:
            code = INTERRUPTED
    if code == INTERRUPTED:
        _say("interrupted; nothing was written.")
    raise SystemExit(code)


def _run() -> int:
    """Run the command that the arguments name; whatever is wrong with them is one line and exit code 2."""
    from glassnet.cli.app import UsageError, app

    try:
        return int(app(standalone_mode=False) or 0)
    except GlassnetError as error:
        _say(str(error))
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else "glassnet"
        said = _one_line(error.format_message())
        _say(f"{said}{'' if said.endswith(('.', '?')) else '.'} See {command} --help.")
    except MemoryError as error:
        _say(f"more memory is needed than there is ({error}). Try fewer or smaller --hidden layers.")
    except OSError as error:
        _say(f"the system refuses: {error}.")
    return WRONG_INPUT


def _note(message: Warning | str, *where: object, **more: object) -> None:
    """Show a library's warning as a sentence, without the line of code that it came from.

    How a fit ended is printed with it. A fit of a search that ends after Ctrl-C, in its thread, is nobody's any more.
    """
    if type(message).__name__ != "ConvergenceWarning":
        _say(f"note: {message}")


def _say(text: str) -> None:
    print(f"glassnet: {_one_line(text)}", file=sys.stderr)


def _one_line(text: object) -> str:
    """Return text on one line, without the control characters that names from files may hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
