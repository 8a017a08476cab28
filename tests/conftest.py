"""Shared by all tests: hypothesis runs the same examples every time."""

import signal

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("fixed")

# A shell that runs the tests in the background has them ignore SIGINT, and all that they start with them.
signal.signal(signal.SIGINT, signal.default_int_handler)
