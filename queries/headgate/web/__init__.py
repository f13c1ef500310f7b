"""The HTTP interface: the same reports as on the command line, for programs and browsers."""

from headgate.web.app import create_app

__all__ = ["create_app"]
