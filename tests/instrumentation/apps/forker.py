"""Forks, leaves by every door, and reports how each child ended."""

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from headgate.instrumentation import track


@track
def work(label):
    return label


def child(label):
    work(label)


def main():
    work("parent")
    codes = []
    for leave in (os._exit, sys.exit):
        pid = os.fork()
        if pid == 0:
            work("forked")
            leave(5)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    for method in ("fork", "spawn", "forkserver"):
        process = multiprocessing.get_context(method).Process(target=child, args=(method,))
        process.start()
        process.join()
        codes.append(process.exitcode)
    with ThreadPoolExecutor(4) as pool:
        forks = [
            pool.submit(subprocess.run, [sys.executable, "-c", "import sys; sys.exit(4)"])
            for _ in range(4)
        ]
        codes += [done.result().returncode for done in forks]
    sys.stdout.write(f"{codes}\n")


if __name__ == "__main__":
    main()
    time.sleep(0.3)
