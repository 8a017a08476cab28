"""The doors of `python -m benchmarks.fuzz`, one a file."""
