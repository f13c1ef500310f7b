"""The fuzzer runs: a few hundred inputs from its seeds. `make fuzz` looks for more, ten minutes long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "fuzz" / "fuzz_receive.py"


@pytest.mark.skipif(sys.platform != "linux", reason="atheris is for Linux")
@pytest.mark.parametrize("target", ["protobuf", "json", "gzip", "zstd"])
def test_a_few_hundred_inputs_break_nothing(target, tmp_path):
    """What must hold for any bytes holds for these; the seeds are found and read."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), target, "-runs=400", "-seed=1"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done 400 runs" in done.stderr
    assert list((tmp_path / ".fuzz" / target).glob("seed-*"))
