"""What can go wrong with a store, by what the caller should do about it."""

from __future__ import annotations


class StoreError(Exception):
    """A store cannot be used as it is; the message says what to do (exit code 2 of a command)."""


class NoData(StoreError):
    """There is no store at the given place yet."""


class StoreBusy(StoreError):
    """Another process owns the data directory."""
