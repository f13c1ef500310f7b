"""A plain script: HTTP by requests and httpx, a database by SQLAlchemy, threads, processes, a NumPy library."""

import contextlib
import multiprocessing
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import httpx
import numpy as np
import requests
from sqlalchemy import create_engine, text

from headgate.instrumentation import carry, experiment, session, track


@track(parameters=("order",))
def smooth(data, order=2):
    return np.convolve(data, np.ones(order) / order)


@track
def in_thread():
    pass


@track
def in_pool():
    pass


@track
def in_process(number):
    return number


def main(address):
    with session(user="scripter", id="s-script"):
        requests.get(address + "/from-requests", timeout=5)
        httpx.get(address + "/from-httpx", timeout=5)
        engine = create_engine("sqlite://")
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        smooth(np.arange(10.0), order=3)
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
        with ThreadPoolExecutor() as pool:
            pool.submit(in_pool).result()
        for method in ("fork", "spawn"):
            process = multiprocessing.get_context(method).Process(target=in_process, args=(1,))
            process.start()
            process.join()
            assert process.exitcode == 0
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            assert pool.submit(in_process, 7).result() == 7
        child = "from headgate.instrumentation import tracked\nwith tracked('child.block'): pass"
        subprocess.run([sys.executable, "-c", child], env=carry(), check=True)
        experiment("colour", {"red": 1, "blue": 1})
    with contextlib.suppress(ValueError, TypeError):
        smooth("not an array")


if __name__ == "__main__":
    main(sys.argv[1])
