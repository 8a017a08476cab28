"""The command line: parse, call, print."""

from __future__ import annotations

import sys

from glassnet.errors import GlassnetError

__all__ = ["main"]


def main() -> None:
    """Run the command `glassnet`: exit code 0 on success, 1 where a fit diverged, 2 for wrong input, 130 for Ctrl-C."""
    from glassnet.cli.app import app

    try:
        app()
    except GlassnetError as error:
        print(f"glassnet: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("glassnet: interrupted; nothing was written.", file=sys.stderr)
        raise SystemExit(130) from None
