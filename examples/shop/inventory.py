"""The shop's inventory service: products, search and reservations over SQLite.

Its weak points are meant: search is slow and breaks on an apostrophe, reservations sometimes hang.
"""

import logging
import os
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from flask import Flask, abort, request

DATABASE = Path(os.environ.get("SHOP_DATA", ".")) / "inventory.db"
SEARCH_S = 0.06
"""What the median search takes; one in a hundred takes five times as long."""
HANGING = 0.12
"""The share of reservations that wait for a lock in the warehouse."""

app = Flask(__name__)
log = logging.getLogger("inventory")
rng = random.Random(os.environ.get("SHOP_SEED", "1"))


def rows(sql: str, *parameters: object) -> list[dict[str, object]]:
    """Run a statement on a connection of its own and return its rows."""
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        cursor = connection.cursor().execute(sql, parameters)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@app.get("/healthz")
def health():
    return {"ok": True}


@app.get("/products")
def products():
    page = request.args.get("page", 0, type=int)
    return rows("SELECT * FROM product ORDER BY id LIMIT 20 OFFSET ?", page * 20)


@app.get("/products/<int:number>")
def product(number):
    found = rows("SELECT * FROM product WHERE id = ?", number)
    return found[0] if found else abort(404, f"no product {number}")


@app.get("/search")
def search():
    time.sleep(SEARCH_S * rng.lognormvariate(0, 0.7))
    # A customer's words are not an FTS5 query: an apostrophe is a syntax error.
    words = request.args.get("q", "")
    found = rows(
        "SELECT product.* FROM product_text JOIN product ON product.id = product_text.rowid"
        " WHERE product_text MATCH ? LIMIT 20",
        words,
    )
    log.info("searched for %r, found %d", words, len(found))
    return found


@app.post("/reservations")
def reserve():
    if rng.random() < HANGING:
        log.warning("waiting for the warehouse lock")
        time.sleep(0.8)
    for number in request.get_json()["products"]:
        if not rows("UPDATE product SET stock = stock - 1 WHERE id = ? RETURNING stock", number):
            abort(404, f"no product {number}")
    return {"reserved": True}, 201


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # spans say it better
    app.run(port=int(os.environ.get("PORT", "5001")), threaded=True)
