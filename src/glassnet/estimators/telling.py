"""Warnings that point at the line of the user's program that asked for the fit, however many calls lie between."""

from __future__ import annotations

import sys
import warnings

__all__ = ["tell"]

WRAPPERS = ("glassnet", "sklearn.callback")
"""Packages whose frames stand between the caller and the place that warns: ours, and the wrapper around `fit`."""


def tell(text: str, category: type[Warning]) -> None:
    """Warn of `text` as if the caller of this package had: the first frame outside of it.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     tell("alpha is not read.", UserWarning)
    >>> str(caught[0].message)
    'alpha is not read.'
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_wrapper(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


def _is_wrapper(module: str) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in WRAPPERS)
