"""The host's time zone changes nothing: neither partitions nor rollups nor bound times."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# 2026-03-01 23:59:59.999999999 and 2026-03-02 00:00:00 in UTC; in Kolkata both are 2 March.
LAST_NS, FIRST_NS = 1772409599999999999, 1772409600000000000

PROGRAM = """
import json, sys
from pathlib import Path
from headgate.store import embedded_store, migrate

store = embedded_store(Path(sys.argv[1]), "headgate")
migrate(store)
client = store.client()
client.command("SYSTEM STOP TTL MERGES")
last, first = int(sys.argv[2]), int(sys.argv[3])
client.command(
    "INSERT INTO otel_traces (Timestamp, TraceId) SELECT"
    f" fromUnixTimestamp64Nano(toInt64(arrayJoin([{last}, {first}])), 'UTC'), 'a'"
)
client.raw_insert(
    "usage_minute", ["Time", "Calls"],
    f'{{"Time": "2026-03-01 23:59:00", "Calls": 1}} {{"Time": "2026-03-02 00:00:00", "Calls": 2}}',
    fmt="JSONEachRow",
)
def rows(sql, **parameters):
    return client.query(sql, parameters=parameters).result_rows
since = "{since:DateTime64(9, 'UTC')}"
print(json.dumps({
    "zone": rows("SELECT timezone()"),
    "partitions": sorted(rows(
        "SELECT table, partition FROM system.parts WHERE active AND database = 'headgate'"
        " AND table IN ('otel_traces', 'otel_traces_trace_id_ts', 'usage_minute', 'usage_day')"
    )),
    "text": rows("SELECT toString(Timestamp) FROM otel_traces ORDER BY Timestamp"),
    "nanoseconds": rows("SELECT toUnixTimestamp64Nano(Timestamp) FROM otel_traces ORDER BY 1"),
    "bound": rows(f"SELECT count() FROM otel_traces WHERE Timestamp >= {since}", since="2026-03-02 00:00:00"),
    "quarters": rows("SELECT toUnixTimestamp(Time), Calls FROM usage_quarter FINAL ORDER BY 1"),
    "days": rows("SELECT toUnixTimestamp(Time), Calls FROM usage_day FINAL ORDER BY 1"),
    "trace": rows("SELECT toUnixTimestamp(Start), toUnixTimestamp(End) FROM otel_traces_trace_id_ts"),
}))
"""


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns"])
def test_nothing_shifts(tmp_path, zone):
    """With a host 5:30 east or 3:30 west of UTC every stored and bound time is UTC's."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "engine"), str(LAST_NS), str(FIRST_NS)],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    second = FIRST_NS // 10**9
    assert json.loads(result.stdout) == {
        "zone": [[zone]],
        "partitions": [
            ["otel_traces", "2026-03-01"],
            ["otel_traces", "2026-03-02"],
            ["otel_traces_trace_id_ts", "2026-03-01"],
            ["usage_day", "2026"],
            ["usage_minute", "2026-03-01"],
            ["usage_minute", "2026-03-02"],
        ],
        "text": [["2026-03-01 23:59:59.999999999"], ["2026-03-02 00:00:00.000000000"]],
        "nanoseconds": [[LAST_NS], [FIRST_NS]],
        "bound": [[1]],
        "quarters": [[second - 900, 1], [second, 2]],
        "days": [[second - 86400, 1], [second, 2]],
        "trace": [[second - 1, second]],
    }
