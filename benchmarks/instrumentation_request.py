"""A web application that serves requests to itself and prints how long they took; `instrumentation_sides.py` starts it.

    python instrumentation_request.py flask|fastapi [few]

`few` leaves out FastAPI's spans of single messages under OpenTelemetry's distribution too. Says "ready", then for
each number on its input serves that many requests and prints the nanoseconds of each: {"cpu": [...], "wall": [...]}.
After `without` in front of the number our package does nothing in these requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import time

# A server that is never idle measures only how the exporter's thread competes for the interpreter.
PAUSE_S = 0.001
COOKIE = "uid=ann; sid=s1"


def clocks():
    """Return this thread's CPU time and the time of day, in nanoseconds."""
    return time.thread_time_ns(), time.perf_counter_ns()


def flask():
    """Return a function that times a number of requests to a Flask application."""
    from flask import Flask

    app = Flask("shop")

    @app.get("/items/<item>")
    def look(item):
        return {"item": item}

    def environ():
        return {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/items/book",
            "QUERY_STRING": "",
            "SERVER_NAME": "x",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "x",
            "HTTP_COOKIE": COOKIE,
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
        }

    def run(count):
        times = []
        for _ in range(count):
            request = environ()
            began = clocks()
            response = app(request, lambda *_: None)
            b"".join(response)
            response.close()
            times.append((began, clocks()))
            time.sleep(PAUSE_S)
        return times

    return run


def fastapi():
    """Return a function that times a number of requests to a FastAPI application."""
    if sys.argv[2:] == ["few"]:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor().uninstrument()
        FastAPIInstrumentor().instrument(exclude_spans=["receive", "send"])
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/items/{item}")
    async def look(item: str):
        return {"item": item}

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/items/book",
        "raw_path": b"/items/book",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"x"), (b"cookie", COOKIE.encode())],
        "server": ("x", 80),
        "client": ("127.0.0.1", 9),
    }

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        pass

    async def several(count):
        times = []
        for _ in range(count):
            began = clocks()
            await asyncio.create_task(app(dict(scope), receive, send))
            times.append((began, clocks()))
            await asyncio.sleep(PAUSE_S)
        return times

    loop = asyncio.new_event_loop()
    return lambda count: loop.run_until_complete(several(count))


@contextlib.contextmanager
def absent():
    """Take away, for a while, what our package has put into OpenTelemetry's way of a request."""
    from opentelemetry import propagate, trace

    processor = trace.get_tracer_provider()._active_span_processor  # noqa: SLF001  # no public way
    places = (
        (vars(propagate.get_global_textmap()), "_propagators"),
        (vars(processor), "_span_processors"),
    )
    before = [place[name] for place, name in places]
    for (place, name), members in zip(places, before, strict=True):
        place[name] = [x for x in members if not type(x).__module__.startswith("headgate.")]
        if len(place[name]) != len(members) - 1:
            raise SystemExit(f"Nothing of ours is in {name}: both sides would be the same.")
    yield
    for (place, name), members in zip(places, before, strict=True):
        place[name] = members


def main() -> None:
    """Serve until the input ends."""
    run = {"flask": flask, "fastapi": fastapi}[sys.argv[1]]()
    run(300)
    print("ready", flush=True)
    for line in sys.stdin:
        *without, count = line.split()
        with absent() if without else contextlib.nullcontext():
            times = run(int(count))
        found = {
            name: [ended[clock] - began[clock] for began, ended in times]
            for clock, name in enumerate(("cpu", "wall"))
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
