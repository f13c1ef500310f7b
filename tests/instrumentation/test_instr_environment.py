"""Resource detection, redaction, the doctor, and the promises of the package as a whole."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.semconv import attributes as stable
from opentelemetry.semconv._incubating import attributes as incubating

import headgate.instrumentation as package
from headgate.instrumentation import attributes, doctor, redact
from headgate.instrumentation.declared import ATTRIBUTES, SETTINGS
from headgate.instrumentation.distro import DEFAULTS
from headgate.instrumentation.reference import page
from headgate.instrumentation.resource import commit, container_id, guess, project_table, script

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "instrumentation/headgate/instrumentation").glob("*.py"))

SCRIPTS = [
    (["python", "app_shop.py"], "app_shop"),
    (["python", "-X", "dev", "-u", "/srv/shop.py", "serve"], "shop"),
    (["python", "-m", "shop.web"], "shop"),
    (["python", "-m", "flask", "run"], ""),
    (["/venv/bin/python", "/venv/bin/gunicorn", "shop:app"], ""),
    (["python", "manage.py", "runserver"], ""),
    (["python", "-c", "print()"], ""),
    (["python"], ""),
]


@pytest.mark.parametrize(("argv", "name"), SCRIPTS)
def test_names_of_programs(argv, name):
    """A script gives the service its name; a launcher does not."""
    assert script(argv) == name


def test_a_service_is_named_after_its_project(tmp_path):
    """The project's name and version, the commit and nothing that is configured are guessed."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.x]\nname = "no"\n[project]\nname = "shop"  # ours\nversion = "1.2"\n[other]\nname="no"\n'
    )
    assert project_table(tmp_path) == {"name": "shop", "version": "1.2"}
    found = guess({}, ["python", "x.py"], tmp_path)
    assert found["service.name"] == "shop"
    assert found["service.version"] == "1.2"
    configured = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=other,service.version=9"}
    assert not {"service.name", "service.version"} & set(guess(configured, [], tmp_path))
    assert "service.name" not in guess({"OTEL_SERVICE_NAME": "x"}, [], tmp_path)
    assert guess({"OTEL_SERVICE_NAME": "numpy"}, [], tmp_path)["service.version"][0].isdigit()


def test_the_commit_is_git_s_own(tmp_path):
    """What is read from .git is what git says, on a branch, packed, detached, and in a worktree."""

    def git(*arguments, where=tmp_path / "repo"):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(where), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "repo" / "inner").mkdir(parents=True)
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    head = git("rev-parse", "HEAD")
    assert commit(tmp_path / "repo" / "inner") == head
    git("pack-refs", "--all")
    assert commit(tmp_path / "repo") == head
    git("worktree", "add", "-q", str(tmp_path / "tree"), "-b", "other")
    git("commit", "-q", "--allow-empty", "-m", "two", where=tmp_path / "tree")
    assert commit(tmp_path / "tree") == git("rev-parse", "other")
    git("checkout", "-q", "--detach", head)
    assert commit(tmp_path / "repo") == head
    assert commit(Path("/")) == ""


IDS = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        f"12:cpu:/docker/{IDS}\n",
        f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{IDS}.scope\n",
        f"1 2 0:1 /var/lib/docker/containers/{IDS}/hostname /etc/hostname rw\n",
    ],
)
def test_container_ids(text):
    """The id is found in control groups of both versions and in mounts."""
    assert container_id(text) == IDS
    assert container_id("0::/user.slice/user-1000.slice\n") == ""


SECRETS = [
    "password=hunter2",
    "Authorization: Bearer abcdefghijk123456",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
    "postgres://admin:s3cr3t@db/shop",
    "AKIAABCDEFGHIJKLMNOP",
    "ghp_0123456789abcdefghijABCDEFGHIJ",
    "ann@example.org",
    "4111 1111 1111 1111",
    str(Path("/", "home", "ann", "data.csv")),
    "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----",
    "api_key: 0123456789abcdef0123456789abcdef",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_removed(text):
    """No known kind of secret or personal data survives, wherever it stands in a message."""
    for around in ("{}", "could not use {} here", "x" * 900 + " {}"):
        cleaned = redact.clean(around.format(text), 1024)
        for part in (
            "hunter2",
            "abcdefghijk123456",
            "eyJzdWIi",
            "s3cr3t",
            "AKIA",
            "ghp_",
            "ann",
            "1111",
            "MIIE",
        ):
            assert part not in cleaned
        assert "0123456789abcdef" not in cleaned


def test_ordinary_text_survives():
    """Messages without secrets are kept, so that errors can be told apart."""
    for text in (
        "no price for broken",
        "shapes (3,4) and (5,) not aligned: 4 (dim 1) != 5 (dim 0)",
        "timed out after 30.5 s at 2026-11-23T01:00:00Z",
        "cannot import name 'x' from 'numpy' (/usr/lib/python3/numpy/__init__.py)",
    ):
        assert redact.clean(text, 1024) == text


@given(st.text(), st.integers(0, 50))
def test_cleaning_never_fails_and_never_lengthens(text, limit):
    """Any text is cleaned to encodable text within the limit."""
    cleaned = redact.clean(text, limit)
    assert len(cleaned) <= limit
    cleaned.encode()


@pytest.mark.parametrize(
    "name", ["password", "api_key", "apikey", "auth_token", "pin", "card_number", "db_passwd"]
)
def test_secret_names(name):
    """Parameters whose name says secret are never recorded by value."""
    assert redact.parameter(name, "value") == redact.REDACTED


@pytest.mark.parametrize("name", ["order", "alpha", "spin", "keyword", "passes", "author_count_"])
def test_harmless_names(name):
    """Parameters of numerical code are recorded, unless the name could mean a secret."""
    if not redact.secret(name):
        assert redact.parameter(name, 2.5) == 2.5
    assert redact.secret(name) == (name == "author_count_")


def test_the_doctor_reports_what_is_there(sink, environment):
    """In an environment where all is well the doctor finds it so, and its span arrives."""
    done = subprocess.run(
        [sys.executable, "-m", "headgate.instrumentation", "doctor", "--json"],
        env=environment(sink.address, OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20s3cr3t"),
        capture_output=True,
        text=True,
        check=True,
    )
    found = {each["subject"]: each for each in json.loads(done.stdout)}
    assert found["distro"]["text"] == found["configurator"]["text"] == "headgate"
    assert "flask" in found["instrumented"]["text"]
    assert found["delivery"]["level"] == "ok"
    assert sink.named("headgate.doctor")
    assert "s3cr3t" not in done.stdout


def test_the_doctor_says_what_to_do(environment):
    """Without a collector the doctor fails with exit code 2 and a remedy, not with a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "headgate.instrumentation", "doctor"],
        env=environment("http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "FAIL delivery" in done.stdout
    assert "headgate serve" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_findings():
    """Missing, disabled and foreign parts are told apart."""
    known = [
        ("flask", "opentelemetry-instrumentation-flask"),
        ("redis", "opentelemetry-instrumentation-redis"),
    ]
    present = {"flask": "3", "redis": "5", "opentelemetry-instrumentation-flask": "1"}
    active, missing = doctor.instrumentations(
        known, present, {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask"}
    )
    assert active.text == "flask 3 (disabled)"
    assert missing.remedy == "pip install opentelemetry-instrumentation-redis"
    other, _ = doctor.distribution(["other", "headgate"], ["headgate"], {})
    assert other.level == doctor.PROBLEM
    assert other.remedy == "set OTEL_PYTHON_DISTRO=headgate"
    assert doctor.permission({"DO_NOT_TRACK": "1"}).level == doctor.PROBLEM


def test_the_command_lines_help():
    """Status and help answer, each command says what it does."""
    run = [sys.executable, "-m", "headgate.instrumentation"]
    said = subprocess.run([*run, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(command in said for command in ("doctor", "status", "purge"))
    status = subprocess.run([*run, "status"], capture_output=True, text=True, check=True).stdout
    assert status.startswith("Telemetry is off")


def test_what_is_public_is_exported():
    """`__all__`, the lazy names and what can be imported agree."""
    assert set(package.__all__) == set(package._HOMES) | {"track", "tracked"}
    for name in package.__all__:
        assert getattr(package, name).__name__ in (name, "session")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018  # the access is the test


def test_importing_costs_no_opentelemetry():
    """Importing the package and decorating loads no OpenTelemetry: a library offers telemetry for free."""
    code = (
        "import sys\nfrom headgate.instrumentation import track\n@track\ndef f(): return 1\nassert f() == 1\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'numpy', 'google'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_name_written_is_declared():
    """Each attribute constant is documented, and each documented one exists."""
    declared = {each.name.replace("<name>", "") for each in ATTRIBUTES}
    skipped = {
        "EVENT_NAME",
        "EVENT_FEATURE",
        "EVENT_SESSION_START",
        "EVENT_SESSION_END",
        "EVENT_NPS",
    }
    constants = {
        value
        for name, value in vars(attributes).items()
        if name.isupper() and isinstance(value, str) and name not in skipped
    }
    assert constants == declared


def test_names_follow_the_semantic_conventions():
    """Each name outside `headgate.` is one of OpenTelemetry's."""
    known = {
        value
        for module in (stable, incubating)
        for file in Path(module.__path__[0]).glob("*_attributes.py")
        for value in vars(import_module(f"{module.__name__}.{file.stem}")).values()
        if isinstance(value, str)
    }
    ours = {each.name for each in ATTRIBUTES if not each.name.startswith("headgate.")}
    assert ours <= known


def test_nothing_else_is_depended_on():
    """Besides the standard library only OpenTelemetry's four packages, and what these bring, are imported."""
    allowed = {"headgate", "opentelemetry", "google", "wrapt", "psutil"} | set(
        sys.stdlib_module_names
    )
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(), feature_version=(3, 10))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert {name.partition(".")[0] for name in names} <= allowed, source.name


def test_modules_are_small():
    """Every module fits the house rule of 300 lines."""
    assert max(len(source.read_text().splitlines()) for source in SOURCES) <= 300


def test_sdk_env_describes_the_defaults():
    """otel-config/sdk.env names each default that the distribution sets, with the very value."""
    text = (ROOT / "otel-config/sdk.env").read_text()
    shown = dict(re.findall(r"^#?([A-Z_]+)=(\S*)$", text, re.MULTILINE))
    for name, value in DEFAULTS.items():
        assert shown[name] == value


def test_the_reference_is_current():
    """docs/reference/instrumentation.md is what the declarations say."""
    written = (ROOT / "docs/reference/instrumentation.md").read_text()
    assert written == page(), (
        "run: python -m headgate.instrumentation.reference > docs/reference/instrumentation.md"
    )


def test_the_how_to_pages_use_what_exists():
    """Each name imported, and each variable set, in the how-to pages and sdk.env exists."""
    pages = ["instrument-a-web-app", "telemetry-in-a-library", "events-from-other-languages"]
    text = "".join((ROOT / f"docs/how-to/{name}.md").read_text() for name in pages)
    for imported in re.findall(r"from headgate\.instrumentation import (.*)", text):
        for name in imported.split(","):
            assert name.strip() in package.__all__
    text += (ROOT / "otel-config/sdk.env").read_text()
    known = {each.name for each in SETTINGS}
    assert set(re.findall(r"HEADGATE_[A-Z_]+", text)) <= known
