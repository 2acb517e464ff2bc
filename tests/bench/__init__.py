"""Measurements of the whole gateway: real processes, real mail servers, one table; `python -m tests.bench`."""
