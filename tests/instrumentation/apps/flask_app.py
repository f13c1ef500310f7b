"""A small shop with Flask, unaware of Headgate except for one event and one tracked function."""

import logging
import sys
import threading

import requests
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

from headgate.instrumentation import event, identify, track

app = Flask("shop")
logger = logging.getLogger("shop")


@track
def price(item):
    if item == "broken":
        raise LookupError(f"no price for {item}")
    return 42.5


@app.get("/items/<item>")
def item(item):
    logger.warning("looking at %s", item)
    return jsonify(price=price(item))


@app.post("/login")
def login():
    identify(request.json["user"])
    return "", 204


@app.post("/checkout")
def checkout():
    event("checkout.completed", value=price("book"), currency="EUR")
    return requests.get(request.host_url + "items/book", timeout=5).json()


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, app, threaded=True)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.readline()
    server.shutdown()
