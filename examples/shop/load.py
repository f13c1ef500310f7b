"""Customers of the shop: `python load.py http://127.0.0.1:5000 --rate 20 --duration 30 --seed 1`.

Visits are drawn from the seed: who comes (a few customers come often, some never sign in), what
they look at, how far they get from browsing to paying. Requests leave at the given rate whatever
the shop's speed; what finds no free visitor for a second lapses. Writes a line of JSON twice a
second: requests sent, answered by status, failed without an answer, lapsed.
"""

import argparse
import asyncio
import itertools
import json
import random
import signal
import ssl
import sys
import time
from collections import Counter

import httpx

CUSTOMERS = 80
PRODUCTS = 400
WORDS = ["oak", "lamp", "blue rug", "copper kettle", "chair", "tall clock", "vase", "baker's desk"]
REPORT_S = 0.5
VISITORS_PER_RATE = 0.7
"""Visitors at a time for each request a second: enough that slow answers do not lower the rate."""
TRUST = ssl.create_default_context()
"""One for all clients; making it takes longer than a visit's first request."""


class Tally:
    """What happened so far."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.sent = 0
        self.statuses: Counter[str] = Counter()
        self.unanswered = 0
        self.lapsed = 0

    def open(self) -> int:
        """Return how many requests wait for their answers."""
        return self.sent - self.unanswered - self.statuses.total()

    def line(self) -> str:
        """Return the tally as a line of JSON."""
        answered = dict(sorted(self.statuses.items()))
        return json.dumps(
            {
                "elapsed_s": round(time.monotonic() - self.begun, 3),
                "sent": self.sent,
                "unanswered": self.unanswered,
                "lapsed": self.lapsed,
                "statuses": answered,
            }
        )


def visit(rng: random.Random):
    """Yield the requests of one visit: (method, path, options)."""
    if rng.random() < 0.8:
        customer = min(int(rng.expovariate(6 / CUSTOMERS)), CUSTOMERS - 1)
        yield "POST", "/login", {"data": {"user": f"customer-{customer:02d}"}}
    yield "GET", "/", {"params": {"page": rng.randrange(10)}}
    for _ in range(rng.randrange(1, 4)):
        if rng.random() < 0.5:
            # One in twenty searches for a name with an apostrophe.
            word = WORDS[-1] if rng.random() < 0.05 else rng.choice(WORDS[:-1])
            yield "GET", "/search", {"params": {"q": word}}
        # A stale link now and then leads to a product that is no more.
        number = rng.randrange(1, PRODUCTS + 1) + (PRODUCTS if rng.random() < 0.03 else 0)
        yield "GET", f"/product/{number}", {}
    while rng.random() < 0.45:
        yield "POST", "/cart", {"data": {"product": rng.randrange(1, PRODUCTS + 1)}}
        if rng.random() < 0.6:
            yield "POST", "/checkout", {}
            return


async def visitor(base: str, visits, permits: asyncio.Queue, tally: Tally) -> None:
    """Make one visit after another, each request when it is permitted, until cancelled."""
    while True:
        async with httpx.AsyncClient(base_url=base, timeout=10, verify=TRUST) as client:
            for method, path, options in visit(next(visits)):
                await permits.get()
                tally.sent += 1
                try:
                    answer = await client.request(method, path, **options)
                except httpx.HTTPError:
                    tally.unanswered += 1
                else:
                    tally.statuses[str(answer.status_code)] += 1


async def permit(rate: float, duration_s: float, permits: asyncio.Queue, tally: Tally) -> None:
    """Permit requests at the rate for the duration; what nobody takes within a second lapses."""
    begun = time.monotonic()
    reported = begun
    for number in itertools.count():
        due = begun + number / rate
        if due > begun + duration_s:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if permits.full():
            tally.lapsed += 1
        else:
            permits.put_nowait(None)
        if time.monotonic() - reported >= REPORT_S:
            reported = time.monotonic()
            print(tally.line(), flush=True)


async def drive(base: str, rate: float, duration_s: float, seed: int) -> Tally:
    """Visit the shop for the duration and return what happened."""
    tally = Tally()
    permits: asyncio.Queue = asyncio.Queue(maxsize=max(1, int(rate)))
    visits = (random.Random(f"{seed}/{number}") for number in itertools.count())
    async with asyncio.TaskGroup() as group:
        crowd = [
            group.create_task(visitor(base, visits, permits, tally))
            for _ in range(max(4, int(rate * VISITORS_PER_RATE)))
        ]
        clock = group.create_task(permit(rate, duration_s, permits, tally))
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, clock.cancel)
        await asyncio.wait([clock])
        while not permits.empty():
            permits.get_nowait()
        for _ in range(30):
            if tally.open():
                await asyncio.sleep(0.1)
        for task in crowd:
            task.cancel()
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shop", help="address of the storefront, as in http://127.0.0.1:5000")
    parser.add_argument("--rate", type=float, default=20, help="requests a second (20)")
    parser.add_argument("--duration", type=float, default=30, help="seconds (30)")
    parser.add_argument("--seed", type=int, default=1, help="which visits are made (1)")
    options = parser.parse_args()
    tally = asyncio.run(drive(options.shop, options.rate, options.duration, options.seed))
    print(tally.line(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
