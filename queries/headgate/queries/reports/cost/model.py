"""The cost model: a document that says what is paid for what (docs/how-to/what-does-it-cost.md)."""

import fnmatch
from dataclasses import dataclass
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from headgate.queries.errors import ReportError

MOST = 1e12
"""Larger prices, budgets and allowances are mistakes, and their squares no longer numbers."""
Price = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
BillingPeriod = Literal["day", "week", "month", "quarter", "year"]
Kind = Literal["per_request", "subscription", "data_transfer", "hybrid", "tokens"]

# ISO 4217, active currencies (without funds codes, metals and testing codes).
CURRENCIES = frozenset(
    """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD
CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP
GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD
KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN
NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP
SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES
VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
""".split()  # noqa: SIM905 - a hundred and fifty codes read better as text
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tokens(_Strict):
    """Prices of a million tokens; those of cached and stored input are that of input unless given."""

    input: Price
    output: Price
    cached: Price | None = None
    stored: Price | None = None


class Rule(_Strict):
    """What is paid for the uses that match; patterns as in a shell: * and ?."""

    source: str
    model: Kind
    service: str = "*"
    operation: str = "*"
    purpose: str | None = None
    per_request: Price = 0.0
    per_gigabyte: Price = 0.0
    subscription: Price = 0.0
    included_requests: Price = 0.0
    included_gigabytes: Price = 0.0
    bill: Literal["all", "success"] = "all"
    tokens: dict[str, Tokens] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_its_prices(self) -> "Rule":
        given = {name for name in _PRICES if getattr(self, name)} & self.model_fields_set
        wanted, possible = _USES[self.model]
        missing = wanted - self.model_fields_set
        if missing:
            raise ValueError(f"the model {self.model} needs {', '.join(sorted(missing))}")
        beyond = given - wanted - possible
        if beyond:
            raise ValueError(
                f"the model {self.model} does not use {', '.join(sorted(beyond))}; hybrid combines prices"
            )
        return self


_PRICES = (
    "per_request",
    "per_gigabyte",
    "subscription",
    "included_requests",
    "included_gigabytes",
    "tokens",
)
_USES: dict[str, tuple[set[str], set[str]]] = {
    "per_request": ({"per_request"}, {"included_requests"}),
    "data_transfer": ({"per_gigabyte"}, {"included_gigabytes"}),
    "subscription": ({"subscription"}, set()),
    "hybrid": (
        {"subscription"},
        {"per_request", "per_gigabyte", "included_requests", "included_gigabytes"},
    ),
    "tokens": ({"tokens"}, set()),
}


class CostModel(_Strict):
    """Prices, in one currency; the first rule that matches a use is the one that is paid."""

    currency: str = "USD"
    billing_period: BillingPeriod = "month"
    budget: Price | None = None
    worth: str | None = None
    rules: tuple[Rule, ...] = ()

    @field_validator("currency")
    @classmethod
    def _is_a_currency(cls, code: str) -> str:
        if code not in CURRENCIES:
            raise ValueError(
                f"{code!r} is no currency of ISO 4217; write a code such as EUR or USD"
            )
        return code

    @field_validator("rules")
    @classmethod
    def _sources_differ(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = [rule.source for rule in rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"the source {twice[0]!r} has two rules; give each rule a source of its own"
            )
        return rules

    def rule_of(self, service: str, operation: str) -> int:
        """Return the number of the rule for a use, -1 for none. Rules for tokens match models, not uses."""
        for number, rule in enumerate(self.rules):
            if (
                rule.model != "tokens"
                and fnmatch.fnmatchcase(service, rule.service)
                and fnmatch.fnmatchcase(operation, rule.operation)
            ):
                return number
        return -1

    def tokens_of(self, service: str, model: str) -> tuple[int, Tokens] | None:
        """Return the rule and the prices for a model's tokens; the first pattern that matches its name."""
        for number, rule in enumerate(self.rules):
            if rule.model == "tokens" and fnmatch.fnmatchcase(service, rule.service):
                for pattern, prices in rule.tokens.items():
                    if fnmatch.fnmatchcase(model, pattern):
                        return number, prices
        return None


@dataclass(frozen=True, slots=True)
class Simple:
    """Prices that were given as parameters instead of a document."""

    per_request: float | None
    per_gigabyte: float | None
    subscription: float | None


def read(text: str, simple: Simple, **common: object) -> CostModel:
    """Return the model that a YAML document describes, else the one that single prices make.

    `common` is `currency`, `billing_period` and `budget` where they were given as parameters; they win. Raises
    ReportError, naming the place.
    """
    try:
        found = yaml.safe_load(text) if text else _simple(simple)
    except yaml.YAMLError as error:
        raise ReportError(f"model is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise ReportError("model is not possible: it must be a mapping with `rules`")
    given = {name: value for name, value in common.items() if value is not None}
    try:
        return CostModel.model_validate(found | given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "rules"
        reason = first["msg"].removeprefix("Value error, ")
        raise ReportError(
            f"model is not possible: {place}: {reason[0].lower()}{reason[1:]}"
        ) from error


def _simple(prices: Simple) -> dict[str, object]:
    given = {
        name: getattr(prices, name)
        for name in ("per_request", "per_gigabyte", "subscription")
        if getattr(prices, name) is not None
    }
    if not given:
        return {}
    kinds = {
        "per_request": "per_request",
        "per_gigabyte": "data_transfer",
        "subscription": "subscription",
    }
    if len(given) > 1:
        given.setdefault("subscription", 0.0)
    kind = kinds[next(iter(given))] if len(given) == 1 else "hybrid"
    return {"rules": [{"source": "all", "model": kind, **given}]}
