"""Make the shop's two databases: `python catalogue.py DIR` writes inventory.db and orders.db."""

import random
import sqlite3
import sys
from pathlib import Path

KINDS = ["Kettle", "Lamp", "Chair", "Blanket", "Teapot", "Desk", "Clock", "Vase", "Rug", "Shelf"]
LOOKS = ["oak", "linen", "copper", "blue", "folding", "tall", "woven", "glazed", "plain", "small"]
MAKERS = ["Aalto", "Baker's", "Castle", "Dune", "Ember"]
PRODUCTS = 400
WITHOUT_PRICE = range(13, PRODUCTS + 1, 40)
"""Products that the last price list forgot: the shop's recurring bug."""


def make(directory: Path) -> None:
    """Write both databases anew, always the same."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("inventory.db", "orders.db"):
        (directory / name).unlink(missing_ok=True)
    rng = random.Random(7)
    rows = [
        (
            number,
            f"{rng.choice(MAKERS)} {rng.choice(LOOKS)} {rng.choice(KINDS)}",
            None if number in WITHOUT_PRICE else rng.randrange(500, 50_000),
            rng.randrange(0, 40),
        )
        for number in range(1, PRODUCTS + 1)
    ]
    with sqlite3.connect(directory / "inventory.db") as inventory:
        inventory.execute(
            "CREATE TABLE product"
            " (id INTEGER PRIMARY KEY, name TEXT, price_cents INTEGER, stock INTEGER)"
        )
        inventory.executemany("INSERT INTO product VALUES (?, ?, ?, ?)", rows)
        inventory.execute("CREATE VIRTUAL TABLE product_text USING fts5(name)")
        inventory.execute("INSERT INTO product_text (rowid, name) SELECT id, name FROM product")
    inventory.close()
    with sqlite3.connect(directory / "orders.db") as orders:
        orders.execute(
            "CREATE TABLE purchase"
            " (id INTEGER PRIMARY KEY, customer TEXT, cents INTEGER, placed TEXT)"
        )
    orders.close()


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
