"""Cost models: what is refused is named with its place; single prices, YAML and objects of Python mean the same."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cost_rows import MODEL
from report_rows import NOW as REPORT_NOW
from report_rows import add_spans

from headgate.queries import ReportError, run
from headgate.queries.reports.cost.model import CURRENCIES, CostModel, Rule, Simple, read

if TYPE_CHECKING:
    from headgate.store import Store

NOW = datetime(2026, 11, 20, tzinfo=UTC)
NONE = Simple(None, None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [", "model is not YAML"),
        ("[1]", "must be a mapping"),
        ("currency: XXX", "'XXX' is no currency of ISO 4217; write a code such as EUR"),
        (
            "rules: [{source: a, model: per_request}]",
            "rules.0: the model per_request needs per_request",
        ),
        ("rules: [{source: a, model: flat}]", "rules.0.model: input should be 'per_request', "),
        ("rules: [{source: a, model: per_request, per_request: -1}]", "greater than or equal to 0"),
        (
            "rules: [{source: a, model: subscription, subscription: 1, per_request: 1}]",
            "hybrid combines prices",
        ),
        ("prices: []", "prices: extra inputs are not permitted"),
        (
            "rules: [{source: a, model: tokens, tokens: {}}, {source: a, model: tokens, tokens: {}}]",
            "'a' has two rules",
        ),
    ],
)
def test_a_model_that_cannot_be_is_refused_with_the_place(text: str, message: str) -> None:
    """The message names the place, the value and what is possible."""
    with pytest.raises(ReportError, match=message.replace("(", r"\(")):
        read(text, NONE)


def test_single_prices_are_a_model() -> None:
    """One price is its model, several are a hybrid; parameters win over the document; without any there is no rule."""
    kinds = {None: 0.0, "per_request": 1.0, "per_gigabyte": 1.0, "subscription": 1.0}
    found = [
        [
            rule.model
            for rule in read(
                "", Simple(*(kinds[n] if n in names else None for n in list(kinds)[1:]))
            ).rules
        ]
        for names in itertools.chain(
            [()], [("per_request",), ("per_gigabyte",), ("subscription",)], [tuple(kinds)]
        )
    ]
    assert found == [[], ["per_request"], ["data_transfer"], ["subscription"], ["hybrid"]]
    assert read(MODEL, NONE, currency="JPY", budget=5.0).currency == "JPY"
    assert len(CURRENCIES) > 150


@pytest.mark.parametrize("price", ["1e300", "inf", "nan", "-1", "1.1e12"])
def test_a_price_beyond_reason_is_refused(store: Store, price: str) -> None:
    """What would make costs no numbers is refused by its place, as a parameter and in a document."""
    with pytest.raises(ReportError, match="per_request"):
        run("cost", store, now=NOW, per_request=price)
    written = {"inf": ".inf", "nan": ".nan"}.get(price, f"{float(price):f}")
    with pytest.raises(ReportError, match="per_request"):
        read(MODEL.replace("per_request: 0.02", f"per_request: {written}"), NONE)


@dataclass
class Prices:
    """A cost model as a dataclass of a user's own."""

    currency: str
    rules: list[dict[str, Any]]


RULES = [{"source": "all", "model": "per_request", "per_request": 0.5}]


@pytest.mark.parametrize(
    "model",
    [
        {"currency": "EUR", "rules": RULES},
        Prices("EUR", RULES),
        CostModel(
            currency="EUR", rules=(Rule(source="all", model="per_request", per_request=0.5),)
        ),
    ],
    ids=["mapping", "dataclass", "CostModel"],
)
def test_a_model_may_be_an_object_of_python(store: Store, model: Any) -> None:
    """A mapping, a dataclass and a CostModel mean what their YAML means (COST-01)."""
    add_spans(store, [{}, {}])
    answer = run("cost", store, now=REPORT_NOW, where={"": ""}, model=model)
    assert answer.summary.cost.value == 1.0
    assert answer.summary.currency == "EUR"
    with pytest.raises(ReportError, match="per_request"):
        run("cost", store, now=REPORT_NOW, model={"rules": [{**RULES[0], "per_request": -1}]})


def test_the_documented_model_is_one() -> None:
    """The YAML of docs/how-to/what-does-it-cost.md is accepted, and its rules match as its comments say."""
    page = Path(__file__).parent.parent / "docs" / "how-to" / "what-does-it-cost.md"
    text = page.read_text(encoding="utf-8").split("```yaml")[1].split("```")[0]
    model = read(text, NONE)
    assert model.rules[model.rule_of("payment", "charge card")].source == "card gateway"
    assert model.rules[model.rule_of("shop", "GET /files/a.zip")].source == "downloads"
    found = model.tokens_of("bot", "large-2")
    assert found is not None
    assert found[1].cached == 0.3
