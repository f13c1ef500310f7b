"""No first request waits for a compiler: what is loaded at the start is all that requests of any kind need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import importlib, json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import headgate.collector
from headgate.collector.warmup import warm_up
from numba.core.dispatcher import Dispatcher

def compiled():
    found = {}
    for info in pkgutil.walk_packages(headgate.collector.__path__, "headgate.collector."):
        for name, value in vars(importlib.import_module(info.name)).items():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == info.name:
                found[f"{info.name}.{name}"] = [str(s) for s in value.signatures]
    return found

compiled()  # imports everything first
warm_up()
before = compiled()
import numpy as np
from otlp_examples import BODIES
from sampling_traffic import BUSY, NOW, log_request, states, trace_request
from headgate.collector.inspect import inspect
from headgate.collector.process import Request, process_sampled
from headgate.collector.rules import Rules
from headgate.collector.sample import Sampling
from headgate.collector.signals import Signal

rng = np.random.default_rng(1)
given = [trace_request(rng, 700, upstream="ot=th:8;rv:ffffffffffffff,x=y"), log_request(rng, 700)]
given += [trace_request(rng, 700)]
given += [inspect("headgate", signal, body, NOW).request for signal, body in BODIES.items()]
for policy in (None, BUSY):
    sampling = policy and Sampling(policy, 1, states(), "segment")
    process_sampled(given, (), Rules(), sampling)
after = compiled()
print(json.dumps({n: [s for s in after[n] if s not in before[n]] for n in after if after[n] != before[n]}))
"""


def test_nothing_is_compiled_after_the_warm_up() -> None:
    """Spans, logs, metrics, every attribute type, sampled or not: no kernel gets another signature."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {}
