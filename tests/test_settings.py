"""Settings: who wins, what is refused and how it is said, and that their documents are current."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml

from headgate.cli.address import join_address, split_address
from headgate.cli.rules import rules_of
from headgate.cli.serve import serve
from headgate.cli.settings import (
    ConfigurationError,
    ServeSettings,
    load,
    variable,
)
from headgate.cli.settings_page import page
from headgate.collector.law import Law
from headgate.collector.policy import Match, Policy
from headgate.collector.rules import Rules

ROOT = Path(__file__).parent.parent


@pytest.fixture
def written(tmp_path):
    def write(text: str | bytes) -> Path:
        file = tmp_path / "headgate.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(written):
    """Each of the four places decides exactly where no stronger one speaks."""
    file = written("journal_bytes: 1\nmemory_bytes: 1\nmax_request_bytes: 1\n")
    environ = {"HEADGATE_JOURNAL_BYTES": "2", "HEADGATE_MEMORY_BYTES": "2"}
    settings = load({"journal_bytes": 3, "api": None}, file, environ)
    assert (settings.journal_bytes, settings.memory_bytes, settings.max_request_bytes) == (3, 2, 1)
    assert settings.api == "127.0.0.1:8686"


def test_nothing_but_the_arguments_is_read(monkeypatch):
    """The process's own environment plays no part beside the one that is given."""
    monkeypatch.setenv("HEADGATE_JOURNAL_BYTES", "7")
    assert load({}, None, {}) == ServeSettings()


@pytest.mark.parametrize("text", ["", "# nothing\n", "journal_bytes:\nstore: null\n"])
def test_what_has_no_value_is_not_given(written, text):
    """An empty file, an empty key and an empty variable leave the defaults."""
    environ = {variable(key): "" for key in ServeSettings.model_fields}
    assert load({}, written(text), environ) == ServeSettings()


def test_a_variable_of_something_else_is_ignored():
    """HEADGATE_* variables that are no settings of the server, a user's secret say, stop nothing."""
    assert load({}, None, {"HEADGATE_PRIVACY_KEY": "x"}) == ServeSettings()


@pytest.mark.parametrize("where", ["file", "environment"])
def test_a_tilde_is_the_users_home(written, where):
    """A data directory in the file or the environment, which no shell expands, is not taken literally."""
    file, environ = (
        (written("data: ~/x"), {}) if where == "file" else (None, {"HEADGATE_DATA": "~/x"})
    )
    settings = load({}, file, environ)
    assert settings.data == Path.home() / "x"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("otlp_grcp: 127.0.0.1:1", "unknown key otlp_grcp in {file}; did you mean otlp_grpc?"),
        ("colour: red", "unknown key colour in {file}; known are data, store, otlp_grpc"),
        ("1: 2", "unknown key 1 in {file}; known are"),
        ("api: 8686", "api in {file}: it must be a valid string, not 8686"),
        ("api: localhost", "api in {file}: 'localhost' is not HOST:PORT, for instance"),
        ("journal_bytes: 0", "journal_bytes in {file}: it must be greater than 0, not 0"),
        ("memory_bytes: much", "memory_bytes in {file}: it must be a valid integer"),
        ("data: [1]", "data in {file}: it must be a valid path, not [1]"),
        ("fonts: /no/such", "fonts in {file}: /no/such is no directory; name one that has files"),
        ("sampling: {tracs: {}}", "unknown key sampling.tracs in {file}; did you mean traces?"),
        (
            "sampling: {traces: {lo: 1}}",
            "unknown key sampling.traces.lo in {file}; did you mean low?",
        ),
        ("sampling: {logs: {rate: 0}}", "sampling.logs.rate in {file}: it must be greater than 0"),
        (
            "sampling: {traces: {low: 9, high: 5}}",
            "sampling.traces in {file}: high must be at least low (9), not 5",
        ),
        (
            "sampling: {keep: [{attribute: x}]}",
            "sampling.keep.0.values in {file} is missing",
        ),
        (
            "sampling: {drop: [{atribute: x, values: [a]}]}",
            "sampling.drop.0.attribute in {file} is missing; unknown key sampling.drop.0.atribute in",
        ),
        ("sampling: 5", "sampling in {file}: it must be a valid dictionary or instance"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_place(written, text, sentence):
    """The error says which key of which file is wrong, with what value, and what it should be."""
    file = written(text)
    with pytest.raises(ConfigurationError) as caught:
        load({}, file, {})
    assert str(caught.value).startswith("invalid configuration: " + sentence.format(file=file))
    assert "\n" not in str(caught.value)


def test_every_problem_is_told_at_once(written):
    """Three mistakes in three places are three clauses of one sentence, each with its own place."""
    with pytest.raises(ConfigurationError) as caught:
        load({"api": "x"}, written("colour: red"), {"HEADGATE_MEMORY_BYTES": "-1"})
    said = str(caught.value)
    assert "--api: 'x' is not HOST:PORT" in said
    assert "HEADGATE_MEMORY_BYTES: it must be greater than 0, not '-1'" in said
    assert "unknown key colour" in said


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("api: [1", "is not valid YAML: line 1, column 8: expected ',' or ']'"),
        ("a: b: c", "is not valid YAML: line 1, column 5: mapping values are not allowed here"),
        (b"api: \xff", "is not valid YAML: 'utf-8' codec can't decode byte 0xff"),
        ("api: \x01", "is not valid YAML: unacceptable character"),
        ("- api", "must be a list of `key: value` lines"),
    ],
)
def test_a_file_that_is_no_settings_file_is_refused_in_one_line(written, content, sentence):
    """Broken YAML and broken text are told with the place, and without the parser's own layout."""
    file = written(content)
    with pytest.raises(ConfigurationError) as caught:
        load({}, file, {})
    assert str(caught.value).startswith(f"the configuration {file} {sentence}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """A missing file and a directory in its place are told apart."""
    with pytest.raises(ConfigurationError, match="No such file or directory; name another with"):
        load({}, tmp_path / "missing.yaml", {})
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load({}, tmp_path, {})


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:0", "127.0.0.1", 0), ("[::1]:65535", "::1", 65535), ("host.x:80", "host.x", 80)],
)
def test_an_address_is_a_host_and_a_port(address, host, port):
    """Splitting and joining an address are inverse, brackets of IPv6 included."""
    assert split_address(address) == (host, port)
    assert join_address(host, port) == address


@pytest.mark.parametrize(
    "address", ["", ":80", "a", "a:", "a:65536", "a:-1", "::1:80", "http://a:1"]
)
def test_what_is_no_address_is_refused(address):
    """A missing host or port, a port out of range, IPv6 without brackets and a URL are no addresses."""
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        split_address(address)


def test_a_section_can_be_given_as_a_variable(written):
    """HEADGATE_SAMPLING is YAML, takes the place of the file's section, and its mistakes are told with their place."""
    file = written("sampling: {traces: {low: 1}, events: {rows: 7}}")
    settings = load({}, file, {"HEADGATE_SAMPLING": "{traces: {low: 50, rate: 1}}"})
    assert (settings.sampling.traces.low, settings.sampling.traces.rate) == (50, 1)
    assert settings.sampling.events.rows == 60_000
    with pytest.raises(ConfigurationError, match=r"traces.low in HEADGATE_SAMPLING: it must be"):
        load({}, None, {"HEADGATE_SAMPLING": "{traces: {low: -1}}"})
    with pytest.raises(ConfigurationError, match="HEADGATE_SAMPLING is not valid YAML"):
        load({}, None, {"HEADGATE_SAMPLING": "{traces: "})


def test_settings_make_the_policy_of_the_collector(written):
    """Every key of the section reaches the policy, and the defaults are the policy's own."""
    assert ServeSettings().sampling.policy() == Policy()
    text = """
    sampling:
      traces: {low: 1, high: 2, rate: 0.3, rows: 4}
      logs: {low: 5, high: 6, rate: 0.7, rows: 8}
      events: {rows: 9}
      strata: {traces: [service, tenant], logs: [zone]}
      keep: [{attribute: debug, values: ["*"]}]
      drop: [{attribute: url.path, values: [/healthz, "/x/*"]}]
    """
    assert load({}, written(text), {}).sampling.policy() == Policy(
        Law(1, 2, 0.3, 4),
        Law(5, 6, 0.7, 8),
        9,
        ("service", "tenant"),
        ("zone",),
        (Match("debug", ("*",)),),
        (Match("url.path", ("/healthz", "/x/*")),),
    )


def test_every_option_of_the_command_is_a_setting():
    """A flag has no name of its own: the file and the environment can say the same."""
    hidden = {"worker"}  # what one worker is told by the process that starts it
    options = set(inspect.signature(serve).parameters) - {"config"} - hidden
    assert options <= set(ServeSettings.model_fields)


def test_the_reference_page_is_current():
    """docs/reference/settings.md is what the settings generate, see headgate.cli.settings_page."""
    assert (ROOT / "docs/reference/settings.md").read_text() == page()


def test_the_settings_file_shows_every_key_with_its_default(tmp_path):
    """otel-config/headgate.yaml changes nothing as it is, and shows the true defaults when uncommented."""
    file = ROOT / "otel-config/headgate.yaml"
    assert load({}, file, {}) == ServeSettings()
    shown = yaml.safe_load(
        re.sub(r"(?m)^# (?=[a-z_]+:(?: |$)|(?:  ){1,2}[a-z])|^# .*$", "", file.read_text())
    )
    assert list(shown) == list(ServeSettings.model_fields)
    assert shown.pop("data") == "~/.local/share/headgate"
    assert shown.pop("store").startswith("http://")
    assert len(shown.pop("user_key")) == 48
    assert shown.pop("tokens").endswith("/tokens.json")
    assert shown.pop("telemetry").startswith("http://")
    for name in ("fonts", "user_key_file", "tls_cert", "tls_key", "tls_client_ca"):
        assert shown.pop(name).startswith("/")
    assert ServeSettings(**shown) == ServeSettings()
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(shown))
    assert load({}, tmp_path / "all.yaml", {}) == ServeSettings()


def test_lists_and_mappings_can_be_variables():
    """A variable holds YAML where its setting is a list or a mapping."""
    environ = {
        "HEADGATE_USER_ATTRIBUTES": "[account, user.id]",
        "HEADGATE_DIMENSIONS": "{tier: [customer.tier]}",
    }
    settings = load({}, None, environ)
    assert settings.user_attributes == ("account", "user.id")
    assert rules_of(settings).dimensions == (("tier", ("customer.tier",)),)
    with pytest.raises(
        ConfigurationError, match=r"HEADGATE_USER_ATTRIBUTES: it must be a valid tuple"
    ):
        load({}, None, {"HEADGATE_USER_ATTRIBUTES": "account"})


def test_the_defaults_are_the_collectors():
    """What the settings leave alone is what the collector does by itself."""
    assert rules_of(ServeSettings()) == Rules()


def test_a_key_is_read_from_one_place(tmp_path):
    """The secret comes from the setting or a file; two places, a short one and a missing file are refused by name."""
    file = tmp_path / "key"
    file.write_text("  sixteen bytes !!\n")
    assert rules_of(load({}, None, {"HEADGATE_USER_KEY_FILE": str(file)})).identity.key == (
        b"sixteen bytes !!"
    )
    given = load({}, None, {"HEADGATE_USER_KEY": "0123456789abcdef"})
    assert rules_of(given).identity.key == b"0123456789abcdef"
    assert "0123456789abcdef" not in f"{given!r} {rules_of(given)!r}"
    with pytest.raises(
        ConfigurationError, match="HEADGATE_USER_KEY: a key has 16 to 64 bytes, not 5"
    ):
        load({}, None, {"HEADGATE_USER_KEY": "short"})
    with pytest.raises(ConfigurationError, match="are two places for one key"):
        rules_of(given.model_copy(update={"user_key_file": file}))
    file.write_text("short")
    with pytest.raises(ConfigurationError, match="a key has 16 to 64 bytes, not 5"):
        rules_of(load({}, None, {"HEADGATE_USER_KEY_FILE": str(file)}))
    with pytest.raises(ConfigurationError, match=r"cannot read user_key_file .*: No such file"):
        rules_of(load({}, None, {"HEADGATE_USER_KEY_FILE": str(tmp_path / "none")}))


def test_no_dimension_names_people():
    """Counting by an attribute that names users or sessions is refused: rollups hold nobody."""
    settings = load({}, None, {"HEADGATE_DIMENSIONS": "{who: [team, session.id]}"})
    with pytest.raises(ConfigurationError, match=r"who counts by session.id, which names people"):
        rules_of(settings)
