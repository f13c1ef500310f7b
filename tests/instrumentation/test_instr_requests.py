"""Who a request says is asking: sources, the propagator that every server instrumentation uses, and the middlewares."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, get_current
from opentelemetry.instrumentation.asgi import asgi_getter
from opentelemetry.instrumentation.wsgi import wsgi_getter
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import default_getter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from headgate.instrumentation import IdentifyASGI, IdentifyWSGI, carry, event, identify
from headgate.instrumentation.boundaries import inherit
from headgate.instrumentation.identity import Identity, current, known, serving, within
from headgate.instrumentation.processors import SpanIdentity
from headgate.instrumentation.propagator import IdentityPropagator, ensure
from headgate.instrumentation.sources import Request, claim, cookie, first, parse


def token(payload):
    """Return a JSON Web Token with any payload, signed by nobody."""
    body = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{body}.c2ln"


HEADERS = {
    "x-user": " ann ",
    "cookie": 'a=1; uid="bob"; sid=s%20id; jwt=' + token({"sub": "cat"}),
    "authorization": "Bearer " + token({"sub": 17, "email": "d@example.org", "list": [1]}),
}
CASES = [
    ("header:X-User", "ann"),
    ("cookie:uid", "bob"),
    ("cookie:sid", "s%20id"),
    ("cookie:none", ""),
    ("jwt:authorization", "17"),
    ("jwt:Authorization:email", "d@example.org"),
    ("jwt:authorization:list", ""),
    ("jwt:authorization:none", ""),
    ("jwt:cookie.jwt", "cat"),
    ("header:missing, cookie:uid", "bob"),
    ("cookie:uid,header:x-user", "bob"),
    ("", ""),
    ("nonsense", ""),
    ("call:json:dumps", ""),
    ("call:no.such.module:f,cookie:uid", "bob"),
    ("call:os.path:basename", ""),
]


@pytest.mark.parametrize(("spec", "found"), CASES)
def test_sources(spec, found):
    """Each notation finds the identifier where it says; what fails or is missing finds nothing."""
    assert first(parse(spec), Request(HEADERS.get, None)) == found


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_no_header_can_do_harm(text):
    """Any text in a header, cookie or token gives an identifier or nothing, never an error."""
    request = Request(lambda name: text, None)
    for spec in ("header:x", "cookie:uid", "jwt:authorization", "jwt:cookie.j"):
        found = first(parse(spec), request)
        assert len(found) <= 256
        found.encode()


PIECES = st.sampled_from(["uid", "xuid", "uid2", "ann", "bob", "=", ";", "; ", " ", '"', "é"])


@given(st.lists(PIECES, max_size=12).map("".join))
def test_a_cookie_is_found_wherever_it_stands(header):
    """Looking for a cookie finds what looking at each of them finds: the first of that name."""
    pairs = [pair.partition("=") for pair in header.split(";")]
    wanted = next((value.strip() for key, _, value in pairs if key.strip() == "uid"), "")
    if len(wanted) > 1 and wanted[0] == wanted[-1] == '"':
        wanted = wanted[1:-1]
    assert cookie(header, "uid") == wanted


@given(st.recursive(st.none() | st.text() | st.integers() | st.floats(), st.lists))
def test_no_token_can_do_harm(payload):
    """Any payload gives a claim or nothing."""
    assert isinstance(claim(token(payload), "sub"), str)


def extract(carrier, monkeypatch, **settings):
    """Return the identity that a request with these headers has, and its context."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    propagator = CompositePropagator(
        [TraceContextTextMapPropagator(), W3CBaggagePropagator(), IdentityPropagator()]
    )
    context = propagator.extract(carrier)
    return current(context), context


def test_a_request_is_served_for_who_asks(monkeypatch):
    """The configured source wins over the caller's baggage, and goes on to other services."""
    found, context = extract(
        {"x-user": "ann", "baggage": "user.id=caller,session.id=s1,other=1"},
        monkeypatch,
        HEADGATE_USER_FROM="header:x-user",
    )
    assert found == Identity("ann", "s1")
    sent = {}
    W3CBaggagePropagator().inject(sent, context)
    assert set(sent["baggage"].split(",")) == {"user.id=ann", "session.id=s1", "other=1"}


@pytest.mark.parametrize("kind", [list, tuple])
def test_an_asgi_request_is_read_as_it_is(monkeypatch, kind):
    """Of an ASGI scope, also where HTTP/2 has split the cookies, user and session are found."""
    monkeypatch.setenv("HEADGATE_USER_FROM", "header:X-None,cookie:uid")
    monkeypatch.setenv("HEADGATE_SESSION_FROM", "header:X-Session")
    headers = [(b"cookie", b"a=1; uid=ann"), (b"host", b"x"), (b"x-session", "é".encode("latin-1"))]
    if kind is list:
        headers.insert(0, (b"cookie", b"b=2"))
    carrier = {"type": "http", "asgi": {"version": "3.0"}, "headers": kind(headers)}
    found = current(IdentityPropagator().extract(carrier, Context(), asgi_getter))
    assert found == Identity("ann", "é")


@pytest.mark.parametrize(
    ("users", "sessions", "wanted"),
    [
        ("cookie:uid", "cookie:sid", Identity("ann", "é1")),
        ("header:X-Account", "cookie:sid", Identity("bob", "é1")),
        ("cookie:uid", "", Identity("ann", "")),
        ("", "header:X-Account", Identity("", "bob")),
        ("header:X-None,cookie:uid", "cookie:none", Identity("ann", "")),
        ("header:X-Long", "cookie:sid", Identity("l" * 256, "é1")),
        ("", "", Identity()),
    ],
)
@pytest.mark.parametrize("kind", ["wsgi", "asgi", "mapping"])
def test_every_carrier_says_the_same(monkeypatch, kind, users, sessions, wanted):
    """From a WSGI environ, an ASGI scope and plain headers the same user and session are read."""
    headers = {"cookie": "a=1; uid=ann; sid=é1", "x-account": " bob ", "x-long": "l" * 300}
    carriers = {
        "wsgi": {
            "wsgi.url_scheme": "http",
            **{f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()},
        },
        "asgi": {
            "asgi": {},
            "headers": [(name.encode(), text.encode("latin-1")) for name, text in headers.items()],
        },
        "mapping": headers,
    }
    getters = {"wsgi": wsgi_getter, "asgi": asgi_getter, "mapping": default_getter}
    monkeypatch.setenv("HEADGATE_USER_FROM", users)
    monkeypatch.setenv("HEADGATE_SESSION_FROM", sessions)
    context = IdentityPropagator().extract(carriers[kind], Context(), getters[kind])
    assert current(context) == wanted
    assert baggage.get_all(context) == known(context)


def test_identity_stays_here_when_told(monkeypatch):
    """With HEADGATE_PROPAGATE=false a user found in a cookie is not sent to other services."""
    found, context = extract(
        {"cookie": "uid=ann"},
        monkeypatch,
        HEADGATE_USER_FROM="cookie:uid",
        HEADGATE_PROPAGATE="false",
    )
    assert found.user == "ann"
    assert baggage.get_all(context) == {}


def test_a_thread_does_not_serve_the_next_request_for_the_last_user(monkeypatch):
    """A request without a user is nobody's, even on a thread that somebody was identified on."""
    monkeypatch.setenv("HEADGATE_PROPAGATE", "false")
    attach(Context())
    identify("last")
    found, _ = extract({}, monkeypatch)
    assert found == Identity()


def cookies(*, propagate):
    """Return a propagator that takes user and session from cookies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADGATE_USER_FROM", "cookie:uid")
        patch.setenv("HEADGATE_SESSION_FROM", "cookie:sid")
        patch.setenv("HEADGATE_PROPAGATE", str(propagate))
        return IdentityPropagator()


SENDS, KEEPS = cookies(propagate=True), cookies(propagate=False)
NAMES = st.sampled_from(["", "ann", "bob"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["identify", "serve", "request", "receive"]), NAMES, NAMES, st.booleans()
    ),
    max_size=5,
)


@given(STEPS)
def test_whatever_led_here_a_span_has_the_current_identity(steps):
    """After any sequence of requests, callers' baggage and identifications a span says what `current` does."""
    context = Context()
    for kind, user, session, sent in steps:
        identity = Identity(user, session)
        if kind == "identify":
            context = within(context, identity, propagate=sent)
        elif kind == "serve":
            context = serving(context, identity, propagate=sent)
        elif kind == "request":
            environ = {"wsgi.url_scheme": "http", "HTTP_COOKIE": f"uid={user}; sid={session}"}
            before, after = context, (SENDS if sent else KEEPS).extract(environ, context)
            assert current(after) == current(serving(before, identity, propagate=sent))
            assert baggage.get_all(after) == baggage.get_all(
                serving(before, identity, propagate=sent)
            )
            context = after
        else:
            context = baggage.set_baggage("user.id", user, context)
            context = baggage.set_baggage("session.id", session, context)
    expected = {
        name: value
        for name, value in zip(("user.id", "session.id"), current(context), strict=True)
        if value
    }
    assert dict(known(context)) == expected
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SpanIdentity())
    assert dict(tracers.get_tracer("t").start_span("s", context).attributes) == expected


def test_the_propagator_is_there_however_early_opentelemetry_was_loaded():
    """`ensure` adds the propagator once, and only if OTEL_PROPAGATORS names it."""
    before = propagate.get_global_textmap()
    try:
        ensure("tracecontext,baggage")
        assert propagate.get_global_textmap() is before
        ensure("tracecontext, baggage ,headgate")
        ensure("tracecontext,baggage,headgate")
        members = propagate.get_global_textmap()._propagators
        assert [type(member).__name__ for member in members].count("IdentityPropagator") == 1
        assert len(members) == 3
    finally:
        propagate.set_global_textmap(before)


def test_carry_and_inherit(hosted):
    """The environment of a child process continues trace, user and session."""
    tracer = hosted.tracers.get_tracer("t")
    with tracer.start_as_current_span("parent") as parent:
        identify("ann", "s1")
        environment = carry({"PATH": "/bin", "BAGGAGE": "old=1"})
    assert environment["PATH"] == "/bin"
    assert environment["HEADGATE_INHERIT_CONTEXT"] == "1"
    attach(Context())
    inherit(environment)
    assert current() == Identity("ann", "s1")
    tracer.start_span("child").end()
    child = next(span for span in hosted.spans if span.name == "child")
    assert child.context.trace_id == parent.get_span_context().trace_id


def scope(**headers):
    """Return an ASGI scope."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "headers": pairs}


def test_asgi_middleware(hosted):
    """Concurrent requests each have their user, on the server's span and on what the handler records."""
    tracer = hosted.tracers.get_tracer("t")

    async def app(scope, receive, send):
        await asyncio.sleep(0)
        event("handled")

    wrapped = IdentifyASGI(app, user="header:x-user", session=lambda request: request.cookie("sid"))

    async def serve(user):
        with tracer.start_as_current_span(user, kind=SpanKind.SERVER):
            await wrapped(scope(x_user=user, cookie=f"sid=s-{user}"), None, None)
        assert current() == Identity()

    async def main():
        await asyncio.gather(*(serve(f"u{number}") for number in range(10)))
        await wrapped({"type": "lifespan"}, None, None)

    asyncio.run(main())
    for span in hosted.spans:
        assert span.attributes["user.id"] == span.name
        assert span.attributes["session.id"] == f"s-{span.name}"
    users = [each.attributes.get("user.id", "") for each in hosted.events]
    assert sorted(users) == ["", *sorted(f"u{number}" for number in range(10))]


def test_wsgi_middleware(hosted):
    """The user of a WSGI request is known while the application runs, and forgotten afterwards."""

    def app(environ, start_response):
        event("handled")
        return [b"fine"]

    wrapped = IdentifyWSGI(app, user="header:x-user")
    assert list(wrapped({"HTTP_X_USER": "ann"}, None)) == [b"fine"]
    assert list(wrapped({}, None)) == [b"fine"]
    assert [each.attributes.get("user.id") for each in hosted.events] == ["ann", None]
    assert not get_current()


def test_a_streamed_response_is_of_who_asked(hosted):
    """What a WSGI application does while its response is sent has the user, between two steps nobody has."""
    closed = []

    class Stream:
        def __iter__(self):
            for number in range(2):
                event("step", value=number)
                yield b"x"

        def close(self):
            closed.append(True)

    wrapped = IdentifyWSGI(lambda environ, start_response: Stream(), user="header:x-user")
    body = wrapped({"HTTP_X_USER": "ann"}, None)
    for chunk in body:
        assert (chunk, current()) == (b"x", Identity())
    body.close()
    assert closed == [True]
    assert [each.attributes["user.id"] for each in hosted.events] == ["ann", "ann"]


def test_a_file_is_left_to_the_server():
    """The server's own wrapper of a file, and a whole response, come back as the application gave them."""

    class Wrapper:
        """What a server offers as `wsgi.file_wrapper`."""

        def __iter__(self):
            return iter([b"x"])

    for body in (Wrapper(), [b"x"]):
        wrapped = IdentifyWSGI(lambda environ, respond, body=body: body, user="header:x-user")
        assert wrapped({"HTTP_X_USER": "ann", "wsgi.file_wrapper": Wrapper}, None) is body


def test_middlewares_let_errors_through(hosted):
    """An application's error passes the middleware, and its context is left."""

    def fails(environ, start_response):
        raise KeyError("mine")

    async def fails_too(scope, receive, send):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        IdentifyWSGI(fails, user=lambda request: "ann")({}, None)
    with pytest.raises(KeyError):
        asyncio.run(IdentifyASGI(fails_too, user=lambda request: 1 / 0)(scope(), None, None))
    assert not get_current()
