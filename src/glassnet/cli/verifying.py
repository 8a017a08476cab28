"""`glassnet show RUN --verify`: test the model of a run folder, and keep the certificate there."""

from __future__ import annotations

from pathlib import Path

from glassnet.certificate import Certificate, verify
from glassnet.cli.consulting import rows_of
from glassnet.cli.predicting import open_run
from glassnet.cli.printing import say
from glassnet.errors import fault
from glassnet.persistence import atomic_write

__all__ = ["show_certificate", "verify_run"]

FILE = "certificate.json"


def verify_run(run: Path, data: str | None) -> int:
    """Verify the model of a run on its training rows, print and keep the certificate; return 1 where a check fails."""
    pipeline, about = open_run(run)
    part = rows_of(run, pipeline, about, data)
    say()
    say("verifying  gradient, engines, file and exports ...")
    found = verify(pipeline, part.X, part.y)
    _print(found)
    try:
        atomic_write(run / FILE, found.to_json().encode())
    except OSError as error:
        raise fault(str(run / FILE), "a file that can be written", str(error.strerror)) from error
    return 0 if found.ok else 1


def show_certificate(run: Path) -> None:
    """Print the certificate that a run has."""
    say()
    _print(Certificate.from_json((run / FILE).read_text(encoding="utf-8")))


def _print(found: Certificate) -> None:
    for line in str(found).splitlines():
        say(line, "" if not line.startswith("FAILED") else "bold red")
