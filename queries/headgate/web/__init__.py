"""The HTTP interface: the same reports as on the command line, for programs and browsers."""

from headgate.web.app import create_app
from headgate.web.exports import ExportJobs

__all__ = ["ExportJobs", "create_app"]
