"""Rows as files: what is stored, streamed out in constant memory, never silently cut."""

from headgate.queries.export.expiry import kept_since
from headgate.queries.export.extract import FORMATS, KINDS, Extract, extract
from headgate.queries.export.writing import Progress, write

__all__ = ["FORMATS", "KINDS", "Extract", "Progress", "extract", "kept_since", "write"]
