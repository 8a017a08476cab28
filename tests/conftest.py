"""Shared by all tests: hypothesis runs the same examples every time."""

import contextlib
import io
import signal

from hypothesis import settings

from glassnet.engines.notices import say_once
from glassnet.engines.storage import MAKING

settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("fixed")

# A shell that runs the tests in the background has them ignore SIGINT, and all that they start with them.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is compiled depends on the tests that ran before: no test shall hear of it unless it asks for that in a process
# of its own.
with contextlib.redirect_stderr(io.StringIO()):
    say_once(MAKING)
