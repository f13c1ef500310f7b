"""The demo counts real traffic, ends cleanly however it ends, and says what is missing."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from headgate.cli.children import HEADGATE, ChildFailed, Children
from headgate.cli.demo import parse_duration
from headgate.cli.demo import shop as demo_shop
from headgate.cli.demo.progress import Moment, Progress, customers, line, table
from headgate.cli.demo.shop import Load, ShopMissing, find_shop
from headgate.cli.ending import Interrupted, Stop, stop_on_signals
from headgate.store import acquire

SHOP = Path(__file__).parents[1] / "examples" / "shop"


def processes(marker: Path) -> dict[int, str]:
    """Return the running processes whose temporary directory is `marker`, with their commands."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended while we looked
            if f"TMPDIR={marker}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:
                    found[int(entry.name)] = command
    return found


class Run:
    """A running `headgate demo`, all of whose processes can be told by their TMPDIR."""

    def __init__(self, temporary: Path, *options: str) -> None:
        self.temporary = temporary
        temporary.mkdir()
        self.output = temporary.with_suffix(".out")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*HEADGATE, "demo", *options],
                env={**os.environ, "TMPDIR": str(temporary)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + 120
        while words not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.05)

    def end(self) -> int:
        return self.process.wait(60)


@pytest.fixture
def start(tmp_path):
    """Start demos, and end whatever a failed test left of them."""
    runs: list[Run] = []

    def begin(*options: str) -> Run:
        runs.append(Run(tmp_path / f"run{len(runs)}", *options))
        return runs[-1]

    yield begin
    for run in runs:
        for number in processes(run.temporary):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        run.process.wait(10)


def last_line(text: str) -> str:
    return [found for found in text.splitlines() if "requests, " in found][-1]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_demo_counts_what_was_sent(start, tmp_path):
    """Every request of the customers is one use of the storefront in the report, exactly."""
    data = tmp_path / "data"
    run = start("--duration", "5s", "--rate", "20", "--data", str(data))
    assert run.end() == 0, run.text()
    assert processes(run.temporary) == {}
    assert list(run.temporary.iterdir()) == []
    for headline in ("usage", "performance", "errors"):
        assert headline in run.text().lower()
    counted = re.findall(r"([\d,]+) [a-z ]+ \(([\d,]+) stored\)", last_line(run.text()))
    assert len(counted) == 3
    assert all(received == stored != "0" for received, stored in counted)
    sent = int(re.findall(r"([\d,]+) requests", last_line(run.text()))[0].replace(",", ""))
    command = [*HEADGATE, "report", "performance", "--service", "storefront", "--format", "json"]
    found = subprocess.run(
        [*command, "--data", str(data)], capture_output=True, check=True, timeout=60
    )
    rows = json.loads(found.stdout)["rows"]
    assert sum(row["calls"] for row in rows) == sent
    assert {row["operation"] for row in rows} >= {"POST /login", "GET /search", "POST /checkout"}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["Starting the collector", "Opening the shop", "Customers come"])
def test_interruption_leaves_nothing(start, number, moment):
    """Ctrl-C and SIGTERM at any stage end every process and remove every file, without a trace."""
    run = start("--duration", "60s")
    run.wait_for(moment)
    run.process.send_signal(number)
    assert run.end() == 130, run.text()
    assert run.text().splitlines()[-1] == "Stopped before the end; nothing is left running."
    assert "Traceback" not in run.text()
    assert processes(run.temporary) == {}
    assert list(run.temporary.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_dying_service_ends_the_demo(start):
    """When a service dies, the demo says which, and ends the rest."""
    run = start("--duration", "60s")
    run.wait_for("Customers come")
    [inventory] = [n for n, c in processes(run.temporary).items() if "inventory.py" in c]
    os.kill(inventory, signal.SIGKILL)
    assert run.end() == 2
    assert "the inventory ended (killed by SIGKILL)" in run.text()
    assert "Traceback" not in run.text()
    assert processes(run.temporary) == {}


def test_a_data_directory_in_use(start, tmp_path):
    """A data directory that another server owns is said so in the collector's own words."""
    owned = acquire(tmp_path / "data", "server")
    run = start("--data", str(owned.path))
    code = run.end()
    owned.close()
    assert code == 2
    assert "the collector ended" in run.text()
    assert f"the data directory {owned.path} is in use by process {os.getpid()}" in run.text()


def test_no_shop(tmp_path):
    """Outside a checkout, the demo says where to run it."""
    with pytest.raises(ShopMissing, match="clone the repository and run `make demo`"):
        find_shop(tmp_path / "site-packages" / "headgate" / "cli")


def test_missing_packages(monkeypatch):
    """Packages that the shop needs and that are missing are named as pip would install them."""
    monkeypatch.setattr(demo_shop, "PACKAGES", {"flask": "flask", "no.such": "b", "nowhere": "a"})
    with pytest.raises(ShopMissing, match=r"not installed: pip install a b$"):
        find_shop(SHOP.parents[1] / "queries" / "headgate" / "cli")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("30", 30), ("1.5m", 90), ("2h", 7200), ("500ms", 0.5)],
)
def test_durations(text, seconds):
    """A duration is a number with a unit, seconds without one."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "0s", "0.0m", "1d", "1 s", "1e3", "nan"])
def test_no_durations(text):
    """Anything else is refused with an example."""
    with pytest.raises(ValueError, match="write 30s, 5m or 1h"):
        parse_duration(text)


MOMENT = Moment(
    30.0,
    Load(12.0, 240_000, 2, {"200": 239_000, "404": 7, "500": 4, "502": 6}),
    {"traces": 1_512_000, "logs": 312, "metrics": 120},
    {"traces": 1_498_000, "logs": 300, "metrics": 110},
    {"traces": 3, "logs": 0, "metrics": 0},
)


def test_progress_in_words():
    """A moment names requests, their rate and failures, and what was received, stored, rejected."""
    assert customers(MOMENT) == (
        "240,000 requests, 20000.0/s, 12 failed (500: 4, 502: 6, no answer: 2)"
    )
    assert line(MOMENT).endswith(
        "received 1,512,000 spans (1,498,000 stored), 312 log records (300 stored),"
        " 120 metric points (110 stored); 3 rejected"
    )
    assert customers(Moment(30.0)) == "0 requests, 0.0/s, 0 failed"


def test_progress_fits_a_terminal():
    """The live table fits 80 columns and shows each count once."""
    console = Console(width=80, file=io.StringIO())
    console.print(table(MOMENT))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert re.findall(r"[\d,]+,\d+", text).count("1,498,000") == 1


def test_progress_without_a_terminal():
    """Without a terminal there is a line every few seconds, and always a last one."""
    console = Console(width=200, file=io.StringIO(), force_terminal=False)
    with Progress(console) as progress:
        for elapsed_s in (0, 1, 2.9, 3, 5, 6.5):
            progress.show(Moment(30.0, Load(elapsed_s)))
        progress.show(Moment(30.0, Load(6.6)), last=True)
    seconds = [text.split(":")[0].strip() for text in console.file.getvalue().splitlines()]
    assert seconds == ["0 s", "3 s", "6 s", "7 s"]


def load_module():
    spec = importlib.util.spec_from_file_location("shop_load", SHOP / "load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_visits_are_drawn_from_the_seed():
    """The same seed makes the same visits; visits differ and reach every page of the shop."""
    load = load_module()

    def visits(seed):
        return [list(load.visit(random.Random(f"{seed}/{n}"))) for n in range(300)]  # noqa: S311  # no secrets

    assert visits(1) == visits(1) != visits(2)
    requests = [request for visit in visits(1) for request in visit]
    pages = {path.split("/")[1] for _, path, _ in requests}
    assert pages == {"", "login", "search", "product", "cart", "checkout"}
    users = {o["data"]["user"] for _, path, o in requests if path == "/login"}
    assert len(users) > 30


STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


@pytest.fixture
def children(tmp_path, monkeypatch):
    monkeypatch.setattr("headgate.cli.children.PATIENCE_S", 0.3)
    monkeypatch.setattr("headgate.cli.children.READY_S", 0.3)
    with Children(tmp_path, Stop()) as made:
        yield made


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_children_end_with_their_own_children(tmp_path, monkeypatch):
    """A child that ignores being asked is killed, and so is what it started."""
    monkeypatch.setattr("headgate.cli.children.PATIENCE_S", 0.3)
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    code = f"import subprocess,sys; subprocess.Popen([sys.executable, '-c', '''{STUBBORN}''']);"
    with Children(tmp_path, Stop()) as children:
        children.start("one", python(code + STUBBORN), environ)
        children.start("two", python(code), environ)
        until(lambda: stubborn(tmp_path) == 2)
        assert stubborn(tmp_path) == 2
    until(lambda: not processes(tmp_path))  # what was killed is gone a moment later
    assert processes(tmp_path) == {}


def stubborn(tmp_path):
    """Count the grandchildren that have started: they run nothing but STUBBORN."""
    return sum("subprocess" not in command for command in processes(tmp_path).values())


def until(condition):
    """Wait until a condition holds, 20 seconds at most."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_failing_child_is_quoted(children):
    """A child that ends instead of getting ready is reported with its last words."""
    child = children.start("engine", python("print('no fuel'); raise SystemExit(3)"), os.environ)
    child.process.wait()
    with pytest.raises(ChildFailed, match=r"the engine ended \(exit code 3\)\n  no fuel"):
        children.wait(child, "started", lambda: False)


def test_a_silent_end_is_reported(children):
    """A child that ends well but too early is reported too."""
    child = children.start("engine", python(""), os.environ)
    child.process.wait()
    with pytest.raises(ChildFailed, match="the engine ended before it started; it said nothing"):
        children.wait(child, "started", lambda: False)


def test_a_late_child_is_reported(children):
    """A child that is not ready in time is reported with what it was to do."""
    child = children.start("engine", python(STUBBORN), os.environ)
    with pytest.raises(ChildFailed, match="the engine has not started within 0 s"):
        children.wait(child, "started", lambda: False)


def test_waiting_can_be_interrupted(tmp_path):
    """A signal ends the waiting for a child, and the handlers before it are put back."""
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop, Children(tmp_path, stop) as children:
        child = children.start("engine", python("import time; time.sleep(60)"), os.environ)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            children.wait(child, "started", lambda: False)
    assert signal.getsignal(signal.SIGTERM) is before
    assert child.process.returncode == -signal.SIGTERM
