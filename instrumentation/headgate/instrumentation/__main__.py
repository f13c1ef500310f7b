"""`python -m headgate.instrumentation`: diagnose the environment, and look after local telemetry."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from headgate.instrumentation import doctor, telemetry

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARKS = {doctor.OK: "  ok   ", doctor.NOTE: "  note ", doctor.PROBLEM: "  FAIL "}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 2 when something needs attention."""
    options = _parser().parse_args(arguments)
    if options.command == "doctor":
        return _doctor(as_json=options.json, send=not options.no_send)
    if options.command == "status":
        _say(str(telemetry.status()))
        return 0
    removed = telemetry.purge()
    _say(f"Deleted {len(removed)} files of local telemetry.")
    return 0


def _doctor(*, as_json: bool, send: bool) -> int:
    findings = doctor.examine(os.environ, send=send)
    if as_json:
        _say(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        for finding in findings:
            remedy = f"\n         -> {finding.remedy}" if finding.remedy else ""
            _say(f"{_MARKS[finding.level]}{finding.subject}: {finding.text}{remedy}")
    return 2 if any(finding.level == doctor.PROBLEM for finding in findings) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headgate.instrumentation",
        description="Usage telemetry by OpenTelemetry: is it set up, and what has been collected here?",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    checks = commands.add_parser(
        "doctor",
        help="what is instrumented, what is missing, and whether data arrives",
        description="Run it in the application's environment, with the application's variables. "
        "Exit code 2 when something needs attention. Sends one span called headgate.doctor, "
        "which no report counts as a use.",
    )
    checks.add_argument("--json", action="store_true", help="print the findings as JSON")
    checks.add_argument("--no-send", action="store_true", help="do not send a span")
    commands.add_parser("status", help="what library telemetry records, why, and where it goes")
    commands.add_parser("purge", help="delete all local telemetry of this user")
    return parser


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
