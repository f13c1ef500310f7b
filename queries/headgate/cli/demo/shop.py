"""The shop of `examples/shop` as child processes that send to a collector.

Nothing here or there is Headgate's: the services run under `opentelemetry-instrument` with the
settings that any application would use, the front over gRPC, the inventory over HTTP with gzip.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import signal
import socket
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.cli.children import Child, Children

PACKAGES = {
    "flask": "flask",
    "requests": "requests",
    "opentelemetry.instrumentation.auto_instrumentation": "opentelemetry-instrumentation",
    "opentelemetry.distro": "opentelemetry-distro",
    "opentelemetry.exporter.otlp.proto.grpc": "opentelemetry-exporter-otlp",
    "opentelemetry.instrumentation.flask": "opentelemetry-instrumentation-flask",
    "opentelemetry.instrumentation.logging": "opentelemetry-instrumentation-logging",
    "opentelemetry.instrumentation.requests": "opentelemetry-instrumentation-requests",
    "opentelemetry.instrumentation.sqlite3": "opentelemetry-instrumentation-sqlite3",
}
"""What the shop imports, and the package that brings it."""

_LOCAL = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
_TELEMETRY = {
    "OTEL_PYTHON_DISTRO": "distro",
    "OTEL_PYTHON_CONFIGURATOR": "configurator",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
    "OTEL_PYTHON_FLASK_EXCLUDED_URLS": "healthz",
    "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.0.0,deployment.environment.name=demo",
    # Short delays, so that what a customer does is counted while one looks.
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_BLRP_SCHEDULE_DELAY": "500",
    "OTEL_METRIC_EXPORT_INTERVAL": "2000",
}


class ShopMissing(Exception):
    """The shop cannot be run here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the customers did so far."""

    elapsed_s: float = 0.0
    sent: int = 0
    unanswered: int = 0
    statuses: Mapping[str, int] | None = None


def find_shop(package: Path) -> Path:
    """Return `examples/shop` of the checkout that `package` (`headgate.cli`) lies in."""
    shop = package.parents[2] / "examples" / "shop"
    if not (shop / "storefront.py").is_file():
        raise ShopMissing(
            "the demo's shop is not part of an installed Headgate:"
            " clone the repository and run `make demo` there"
        )
    missing = sorted({brings for name, brings in PACKAGES.items() if not _is_installed(name)})
    if missing:
        raise ShopMissing(
            f"the demo needs packages that are not installed: pip install {' '.join(missing)}"
        )
    return shop


class Shop:
    """The running shop: its services, then its customers."""

    def __init__(self, source: Path, work: Path, environ: Mapping[str, str]) -> None:
        self._source = source
        self._work = work
        kept = {k: v for k, v in environ.items() if not k.startswith("OTEL_")}
        self._environ = {**kept, **_LOCAL, "SHOP_DATA": str(work / "shop")}
        self._services: list[Child] = []
        self._address = ""

    def open(self, children: Children, collector: Mapping[str, str], seed: int) -> None:
        """Make the databases, start both services and wait until they answer."""
        make = self._python("catalogue.py", str(self._work / "shop"))
        catalogue = children.start("catalogue", make, self._environ)
        children.wait(catalogue, "made the databases", lambda: catalogue.process.poll() == 0)
        inventory_port, storefront_port = _free_ports(2)
        common = {
            **self._environ,
            **_TELEMETRY,
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(_our_instrumentors()),
            "SHOP_SEED": str(seed),
        }
        settings = {
            "inventory": {
                "PORT": str(inventory_port),
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector['otlp_http']}",
                "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            },
            "storefront": {
                "PORT": str(storefront_port),
                "SHOP_INVENTORY": f"http://127.0.0.1:{inventory_port}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector['otlp_grpc']}",
                "OTEL_EXPORTER_OTLP_INSECURE": "true",
            },
        }
        for name, own in settings.items():
            environ = {**common, **own, "OTEL_SERVICE_NAME": name}
            # An interrupt, as from a keyboard, lets Python end in order and the SDK send its rest.
            command = (str(_instrument()), *self._python(f"{name}.py"))
            self._services.append(children.start(name, command, environ, signal.SIGINT))
        for service, port in zip(self._services, (inventory_port, storefront_port), strict=True):
            children.wait(service, "answered", partial(_answers, port))
        self._address = f"http://127.0.0.1:{storefront_port}"

    def admit(self, children: Children, rate: float, duration_s: float, seed: int) -> Child:
        """Start the customers; they leave by themselves after the duration."""
        options = ("--rate", str(rate), "--duration", str(duration_s), "--seed", str(seed))
        command = self._python("load.py", self._address, *options)
        return children.start("load", command, self._environ)

    def close(self, children: Children) -> None:
        """End both services, which makes them send the telemetry that they still hold."""
        while self._services:
            children.stop(self._services.pop())

    def _python(self, script: str, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, str(self._source / script), *arguments)


def load_so_far(customers: Child) -> Load:
    """Return what the customers reported last."""
    lines = customers.log.read_text().splitlines(keepends=True)
    whole = [line for line in lines if line.startswith("{") and line.endswith("\n")]
    if not whole:
        return Load()
    report: dict[str, Any] = json.loads(whole[-1])
    return Load(report["elapsed_s"], report["sent"], report["unanswered"], report["statuses"])


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def _our_instrumentors() -> list[str]:
    """Return what `headgate-instrumentation` would add to the shop, were it not told to stay out."""
    found = importlib.metadata.entry_points(group="opentelemetry_instrumentor")
    return [point.name for point in found if point.value.startswith("headgate.")]


def _instrument() -> Path:
    return Path(sys.executable).with_name("opentelemetry-instrument")


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now; held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [s.getsockname()[1] for s in sockets]
    for held in sockets:
        held.close()
    return ports


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False
