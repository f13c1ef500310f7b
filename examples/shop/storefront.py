"""The shop's web front: browse, search, product, cart, checkout; asks the inventory over HTTP.

It knows OpenTelemetry's API only to say who is shopping: `user.id` and `session.id` on the span of
the request. Everything else is left to `opentelemetry-instrument`. Its weak points are meant:
products without a price crash it, a hanging inventory times out, some payments are declined.
"""

import logging
import os
import random
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import requests
from flask import Flask, abort, jsonify, request, session
from opentelemetry import trace

INVENTORY = os.environ.get("SHOP_INVENTORY", "http://127.0.0.1:5001")
DATABASE = Path(os.environ.get("SHOP_DATA", ".")) / "orders.db"
RESERVE_TIMEOUT_S = 0.4
DECLINED = 0.06
"""The share of payments that the bank declines."""

app = Flask(__name__)
app.secret_key = "only an example"  # noqa: S105  # nothing is protected by it
log = logging.getLogger("storefront")
rng = random.Random(os.environ.get("SHOP_SEED", "1"))


class PriceMissingError(Exception):
    """A product stands in the catalogue without a price."""


def ask(method: str, path: str, timeout_s: float = 5.0, **options: object):
    """Ask the inventory for JSON; its 404 is ours, anything else that fails is a 502."""
    answer = requests.request(method, INVENTORY + path, timeout=timeout_s, **options)
    if answer.status_code == 404:
        abort(404)
    if not answer.ok:
        log.error("the inventory answered %d to %s", answer.status_code, path)
        abort(502)
    return answer.json()


def priced(product: dict) -> dict:
    """Add the price as customers read it."""
    if product["price_cents"] is None:
        raise PriceMissingError(
            f"product {product['id']} has no price in price list {uuid.uuid4()}"
        )
    return {**product, "price": f"{product['price_cents'] / 100:.2f}"}


def identity() -> dict[str, str]:
    """Return who is shopping, under OpenTelemetry's names."""
    who = {"session.id": session["id"]}
    if "user" in session:
        who["user.id"] = session["user"]
    return who


@app.before_request
def identify():
    if request.endpoint != "health":
        session.setdefault("id", uuid.uuid4().hex)
        trace.get_current_span().set_attributes(identity())


@app.errorhandler(requests.Timeout)
def inventory_hangs(error):
    trace.get_current_span().record_exception(error)
    log.error("the inventory did not answer in time: %s", error)
    return jsonify(error="please try again"), 504


@app.get("/healthz")
def health():
    return {"ok": True}


@app.post("/login")
def login():
    session["user"] = request.form["user"]
    trace.get_current_span().set_attributes(identity())
    log.info("signed in", extra={"event.name": "user.login", **identity()})
    return {"welcome": session["user"]}


@app.get("/")
def browse():
    page = request.args.get("page", 0, type=int)
    return ask("GET", "/products", params={"page": page})


@app.get("/search")
def search():
    return ask("GET", "/search", params={"q": request.args.get("q", "")})


@app.get("/product/<int:number>")
def product(number):
    return priced(ask("GET", f"/products/{number}"))


@app.post("/cart")
def cart():
    number = request.form.get("product", type=int)
    chosen = priced(ask("GET", f"/products/{number}"))
    session["cart"] = [*session.get("cart", []), [chosen["id"], chosen["price_cents"]]]
    log.info("added to the cart", extra={"event.name": "cart.add", **identity()})
    return {"items": len(session["cart"])}


@app.post("/checkout")
def checkout():
    items = session.get("cart") or abort(400, "the cart is empty")
    cents = sum(price for _, price in items)
    numbers = [number for number, _ in items]
    ask("POST", "/reservations", timeout_s=RESERVE_TIMEOUT_S, json={"products": numbers})
    if rng.random() < DECLINED:
        log.warning("payment of %d cents declined", cents)
        return jsonify(error="your bank declined the payment"), 402
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.cursor().execute(
            "INSERT INTO purchase (customer, cents, placed) VALUES (?, ?, ?)",
            (session.get("user"), cents, datetime.now(UTC).isoformat()),
        )
    session["cart"] = []
    log.info(
        "order placed",
        extra={"event.name": "order.placed", "order.value": cents / 100, **identity()},
    )
    return {"paid": cents / 100}, 201


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # spans say it better
    app.run(port=int(os.environ.get("PORT", "5000")), threaded=True)
