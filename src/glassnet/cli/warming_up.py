"""`glassnet warmup`: compile ahead."""

from __future__ import annotations

from glassnet.cli.printing import console
from glassnet.warming import warm_up

__all__ = ["warm_up_and_say"]


def warm_up_and_say(equations: bool) -> None:
    """Compile everything, then say how long it took."""
    out = console()
    with out.status("compiling the loop and every formula, once"):
        seconds = warm_up(equations=equations)
    out.print(f"Everything is compiled and kept on disk: {seconds:.1f} s. Later runs fetch it in well under a second.")
    if not equations:
        out.print("All but what solves equations (glassnet pde): glassnet warmup --pde compiles that, too.")
