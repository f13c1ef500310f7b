"""A program with a result, an exit code and exit handlers, whatever becomes of its telemetry."""

import atexit
import logging
import sys
import threading

from headgate.instrumentation import event, session, track

count = int(sys.argv[1]) if len(sys.argv) > 1 else 200


@track
def work(number):
    return number + 1


atexit.register(lambda: (work(0), sys.stdout.write("at exit\n")))
with session(user="u1"):
    total = sum(work(number) for number in range(count))
    event("done", value=total)
logging.getLogger("victim").info("not shown")
thread = threading.Thread(target=work, args=(1,))
thread.start()
sys.stdout.write(f"total {total}\n")
sys.exit(3)
