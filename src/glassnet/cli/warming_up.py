"""`glassnet warmup`: compile ahead."""

from __future__ import annotations

from glassnet.cli.printing import console
from glassnet.warming import warm_up

__all__ = ["warm_up_and_say"]


def warm_up_and_say() -> None:
    """Compile everything, then say how long it took."""
    out = console()
    with out.status("compiling the loop and every formula, once"):
        seconds = warm_up()
    out.print(f"Everything is compiled and kept on disk: {seconds:.1f} s. Later runs fetch it in well under a second.")
