"""Error fingerprints: the same bug is one group whatever its ids, and different bugs are not."""

from __future__ import annotations

import re
import textwrap
import traceback

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from headgate.store.fingerprint import (
    MAX_INPUT_BYTES,
    MAX_TEXT_BYTES,
    fingerprint,
    frames,
    normalise,
    prose,
)


def text(stack: str) -> bytes:
    """Return a dedented stack trace; `<tab>` stands for a tab, which dedent would remove."""
    return textwrap.dedent(stack).lstrip("\n").replace("<tab>", "\t").encode()


PYTHON = """
    Traceback (most recent call last):
      File "/srv/shop/orders.py", line 42, in place_order
        charge(order["total"])
        ~~~~~~^^^^^^^^^^^^^^^^
      File "/srv/venv/lib/python3.11/site-packages/oauth2/session.py", line 59, in request
        raise HTTPError(f"{status} for {url}")
    requests.exceptions.HTTPError: 503 Server Error for url: http://pay-1.internal:8080/charge/77

    During handling of the above exception, another exception occurred:

    Traceback (most recent call last):
      File "/srv/shop/app.py", line 12, in checkout
        place_order(order)
    shop.errors.OrderFailed: 1 validation error for order 8812
    amount
      Input should be a valid number [input_value='abc']
"""
PYTHON_ELSEWHERE = """
    Traceback (most recent call last):
      File "C:\\code\\shop\\orders.py", line 1042, in place_order
        charge(order["total"])
      File "C:\\venv\\Lib\\site-packages\\oauth2\\session.py", line 61, in request
        raise HTTPError(f"{status} for {url}")
    requests.exceptions.HTTPError: 502 Bad Gateway for url: http://pay-b.example.org/charge/abc

    During handling of the above exception, another exception occurred:

    Traceback (most recent call last):
      File "C:\\code\\shop\\app.py", line 13, in checkout
        place_order(order)
    shop.errors.OrderFailed: 2 validation errors for order x
    colour
      Input should be a known colour [input_value='mauve']
    amount
      Input should be a valid number [input_value='']
"""
JAVA = """
    com.shop.OrderFailed: order 8812 of alice failed
    <tab>at com.shop.Orders.place(Orders.java:42)
    <tab>at com.shop.Orders$$Lambda$123/0x0000000800c8.run(Unknown Source)
    <tab>at com.shop.Orders$$SpringCGLIB$$a1b2c3.invoke(<generated>)
    <tab>at jdk.internal.reflect.GeneratedMethodAccessor42.invoke(Unknown Source)
    <tab>at java.base/java.lang.Thread.run(Thread.java:833)
    <tab>Suppressed: java.io.IOException: cannot close socket 5 of alice
    <tab><tab>at com.shop.Net.close(Net.java:7)
    Caused by: java.net.SocketTimeoutException: 10.0.0.5:5432 did not answer in 3000 ms
    <tab>at com.shop.Http2Client.call(Http2Client.java:99)
    <tab>... 12 more
"""
NODE = """
    TypeError: Cannot read properties of undefined (reading 'total')
        at placeOrder (/srv/shop/orders.js:42:13)
        at Object.<anonymous> (/srv/shop/node_modules/express/lib/router.js:12:34)
        at async file:///srv/shop/main.3f2a1b.mjs:3:4
        at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
"""
GO = """
    panic: runtime error: index out of range [5] with length 3

    goroutine 18 [running]:
    main.placeOrder(0xc0000b4000, {0xc0000a6010, 0x5, 0x8})
    <tab>/srv/shop/orders.go:42 +0x1d
    github.com/gin-gonic/gin.(*Context).Next(...)
    <tab>/opt/go/pkg/mod/github.com/gin-gonic/gin@v1.9.0/context.go:174 +0x2b
    created by net/http.(*Server).Serve in goroutine 1
    <tab>/usr/local/go/src/net/http/server.go:3086 +0x5cb

    goroutine 34 [select]:
    main.idle()
    <tab>/srv/shop/idle.go:9 +0x1d
"""
CSHARP = """
    Shop.OrderFailed: order 8812 of alice failed
     ---> System.TimeoutException: db-1.internal did not answer in 3000 ms
       at Shop.Db.<QueryAsync>d__12.MoveNext() in /srv/src/Shop/Db.cs:line 42
       --- End of inner exception stack trace ---
       at Shop.Orders.Place(Int32 id) in /srv/src/Shop/Orders.cs:line 99
"""
RUBY = """
    /srv/shop/orders.rb:42:in 'Orders#place': order 8812 of alice failed (OrderFailed)
    <tab>from /srv/shop/app.rb:9:in 'block in checkout'
"""
PHP = """
    ShopException: order 8812 of alice failed in /srv/shop/Orders.php:42
    Stack trace:
    #0 /srv/shop/App.php(12): Orders->place(8812)
    #1 {main}
"""
RUST = """
    thread 'main' panicked at src/orders.rs:42:5:
    order 8812 of alice failed
    stack backtrace:
       0: std::panicking::begin_panic_handler
                 at /rustc/79e9716c980570/library/std/src/panicking.rs:645:5
       1: shop::orders::place
                 at ./src/orders.rs:42:5
"""
FIREFOX = """
    placeOrder@https://shop.example.org/assets/app.3f2a1b.js:42:13
    async*checkout@https://shop.example.org/assets/app.3f2a1b.js:9:1
"""
GROUP = """
      + Exception Group Traceback (most recent call last):
      |   File "/srv/shop/orders.py", line 42, in place_all
      |     raise ExceptionGroup(f"{n} orders failed", errors)
      | ExceptionGroup: 2 orders failed (2 sub-exceptions)
      +-+---------------- 1 ----------------
        | Traceback (most recent call last):
        |   File "/srv/shop/orders.py", line 12, in place
        |     raise ValueError(order)
        | ValueError: order 8812 of alice
        +------------------------------------
"""

SAME = {
    "python: paths, lines, carets, messages": (PYTHON, PYTHON_ELSEWHERE),
    "python: recursion depth": (
        '  File "a.py", line 1, in f\n    f()\n  [Previous line repeated 977 more times]\n',
        '  File "a.py", line 1, in f\n    f()\n  [Previous line repeated 12 more times]\n',
    ),
    "python: exception groups": (
        GROUP,
        GROUP.replace("order 8812 of alice", "order x of bob").replace("2 orders", "77 orders"),
    ),
    "java: messages, lines, generated names": (
        JAVA,
        JAVA.replace("alice", "bob")
        .replace("$123/0x0000000800c8", "$9/0x00000007aaaa")
        .replace("a1b2c3", "0f9e8d")
        .replace("Accessor42", "Accessor7")
        .replace(":42)", ":43)")
        .replace("10.0.0.5:5432 did", "db.internal did")
        .replace("12 more", "31 more"),
    ),
    "node: paths, bundles, messages": (
        NODE,
        NODE.replace("/srv/shop", "/opt/releases/7")
        .replace("3f2a1b", "9c8d7e")
        .replace("42:13", "1:1")
        # another property, the same place
        .replace("'total'", "'price'"),
    ),
    "go: addresses, other goroutines, versions": (
        GO,
        GO.replace("0xc0000b4000", "0xc000123abc")
        .replace("goroutine 18", "goroutine 5")
        .replace("v1.9.0", "v1.10.3")
        .replace("/srv/shop", "/build")
        .replace("[5] with length 3", "[9] with length 0")
        .replace("main.idle()", "main.other()"),
    ),
    "c#: messages, lines, paths": (
        CSHARP,
        CSHARP.replace("alice", "bob")
        .replace("/srv/src/Shop/", "C:\\\\agent\\\\1\\\\s\\\\")
        .replace("line 42", "line 44")
        .replace("d__12", "d__13")
        .replace("db-1.internal did not answer", "no answer"),
    ),
    "ruby: messages, lines, paths": (
        RUBY,
        RUBY.replace("alice", "bob").replace("/srv/shop", "/app").replace(":42:", ":43:"),
    ),
    "php: messages, lines, paths": (
        PHP,
        PHP.replace("alice", "bob").replace("/srv/shop", "/app").replace("(8812)", "(9)"),
    ),
    "rust: messages, lines, commits": (
        RUST,
        RUST.replace("alice", "bob").replace(":42:", ":43:").replace("79e9716c98", "07dca489ac"),
    ),
    "firefox: hosts, bundles, columns": (
        FIREFOX,
        FIREFOX.replace("shop.example.org", "localhost:8000").replace("3f2a1b", "9c8d7e"),
    ),
}

DIFFERENT = {
    "python: another line of the same function": (PYTHON, 'charge(order["total"])', "audit(order)"),
    "python: another function": (PYTHON, "in place_order", "in cancel_order"),
    "python: another file": (PYTHON, "orders.py", "refunds.py"),
    "python: another cause": (PYTHON, "HTTPError: 503", "ConnectionError: 503"),
    "python: another member of a group": (GROUP, "ValueError: order", "KeyError: order"),
    "java: another method": (JAVA, "Orders.place", "Orders.cancel"),
    "java: another class, both with a digit": (JAVA, "Http2Client", "Http2Server"),
    "java: another cause": (JAVA, "SocketTimeoutException", "ConnectException"),
    "java: another suppressed error": (JAVA, "java.io.IOException", "java.io.EOFException"),
    "java: another lambda's class": (JAVA, "Orders$$Lambda", "Refunds$$Lambda"),
    "node: another function": (NODE, "placeOrder", "cancelOrder"),
    "node: another file": (NODE, "orders.js", "refunds.js"),
    "go: another function": (GO, "main.placeOrder", "main.cancelOrder"),
    "go: another method of a library": (GO, "(*Context).Next", "(*Context).Abort"),
    "c#: another method": (CSHARP, "Orders.Place", "Orders.Cancel"),
    "c#: another cause": (CSHARP, "TimeoutException", "SocketException"),
    "ruby: another innermost method": (RUBY, "Orders#place", "Orders#cancel"),
    "php: another method": (PHP, "Orders->place", "Orders->cancel"),
    "rust: another function": (RUST, "orders::place", "orders::cancel"),
    "firefox: another function": (FIREFOX, "placeOrder", "cancelOrder"),
}

SAME_MESSAGE = [
    ("order 8812 not found", "order 1 not found"),
    ("took 950ms", "took 1.2s"),
    ("user 550e8400-e29b-41d4-a716-446655440000", "user e29b8400-550e-41d4-a716-446655440abc"),
    ("host 10.0.0.5 is down", "host 192.168.17.4 is down"),
    ("cannot connect to db-1.internal:5432", "cannot connect to orders.example.org:6432"),
    (
        "dial tcp 10.0.0.1:5432: refused",
        "dial tcp [fe80::1]:80: refused".replace("[fe80::1]", "1.2.3.4"),
    ),
    ("GET http://a.example/x?id=1&t=/b failed", "GET https://b.example:8443/y/z failed"),
    ("No such file: '/data/a b.csv'", "No such file: '/tmp/x'"),
    ("open /data/a.csv: denied", "open C:\\data\\b.csv: denied"),
    ("no user alice@example.com", "no user bob.b@mail.example.org"),
    ("KeyError: 'colour'", "KeyError: 'size'"),
    ('bad name "it\'s"', 'bad name "plain"'),
    ("bad bytes b'abc'", "bad bytes b'x'"),
    ('bad "a \\" b" value', 'bad "a" value'),
    ("indices [1, 2, 3]", "indices [4, 5]"),
    ("at 2026-11-23T10:11:12.5+00:00 it broke", "at 2025-01-02T00:00:00Z it broke"),
    ("I can't read row 5", "I can't read row 6"),
    ("object at 0x7f3c2a10 is gone", "object at 0x55d0 is gone"),
    ("pod checkout-7d9f8b6c5-x2x4z died", "pod checkout-5c6b8f9d7-a9b8c died"),
]
DIFFERENT_MESSAGE = [
    ("order 8812 not found", "order 8812 not paid"),
    ("KeyError: 'colour'", "IndexError: 'colour'"),
    ("can't read", "can't write"),
    ("it's 'a' or so", "it's 'a' or not"),
    ("an unclosed 'quote here", "an unclosed 'quote there"),
]


def of_stack(stack: str) -> int:
    return fingerprint(b"E", text(stack), b"")


@pytest.mark.parametrize("case", SAME)
def test_one_bug_is_one_group(case):
    """A stack trace keeps its fingerprint when ids, paths, lines, hosts and messages change."""
    a, b = SAME[case]
    assert a != b
    assert normalise(text(a), b"") == normalise(text(b), b"")


@pytest.mark.parametrize("case", DIFFERENT)
def test_another_bug_is_another_group(case):
    """A stack trace with another function, file or cause has another fingerprint."""
    stack, old, new = DIFFERENT[case]
    assert old in stack
    assert of_stack(stack) != of_stack(stack.replace(old, new))


def test_line_ends_do_not_matter():
    """A trace written with carriage returns is the same bug."""
    stack = text(PYTHON)
    assert frames(stack.replace(b"\n", b"\r\n")) == frames(stack)


def test_examples_do_not_meet():
    """Stack traces of different languages are all different groups."""
    stacks = [PYTHON, JAVA, NODE, GO, CSHARP, RUBY, PHP, RUST, FIREFOX, GROUP]
    assert len({of_stack(s) for s in stacks}) == len(stacks)


@pytest.mark.parametrize(("a", "b"), SAME_MESSAGE)
def test_messages_of_one_bug(a, b):
    """Without a stack trace, messages that differ in ids and quoted values are one group."""
    assert prose(a.encode()) == prose(b.encode())


@pytest.mark.parametrize(("a", "b"), DIFFERENT_MESSAGE)
def test_messages_of_other_bugs(a, b):
    """Without a stack trace, messages that differ in words are different groups."""
    assert prose(a.encode()) != prose(b.encode())


def test_frames_hold_no_message():
    """What an exception said, and so what a user typed, is not in the frames' text."""
    for stack in (PYTHON, JAVA, GO, CSHARP, RUBY, PHP, RUST, GROUP):
        said = frames(text(stack))
        for word in (b"8812", b"alice", b"mauve", b"Server Error", b"internal:", b"validation"):
            assert word not in said


def test_frames_of_python():
    """Snapshot: functions, files and source lines of every chained exception, types, no message."""
    assert frames(text(PYTHON)).decode().splitlines() == [
        'File "orders.py", line #, in place_order',
        'charge(order["total"])',
        'File "session.py", line #, in request',
        'raise HTTPError(f"{status} for {url}")',
        "requests.exceptions.HTTPError",
        'File "app.py", line #, in checkout',
        "place_order(order)",
        "shop.errors.OrderFailed",
    ]


def test_frames_of_go():
    """Snapshot: functions and files of the first goroutine only, arguments and offsets gone."""
    assert frames(text(GO)).decode().splitlines() == [
        "main.placeOrder(#, {#})",
        "orders.go:#",
        "gin.(*Context).Next(...)",
        "gin@context.go:#",
        "created by http.(*Server).Serve in goroutine #",
        "server.go:#",
    ]


def test_a_real_traceback_is_read():
    """A traceback that Python itself writes has frames: its functions, and no message."""

    def fail(order: int) -> None:
        raise ValueError(f"order {order} of alice")

    stacks = []
    for order in (1, 22):
        try:
            fail(order)
        except ValueError as error:
            stacks.append("".join(traceback.format_exception(error)).encode())
    first, second = map(frames, stacks)
    assert first == second
    assert b"in fail" in first
    assert b"order # of" not in first


def test_type_is_part_of_the_fingerprint():
    """The same text under another type is another group, and the hash is as documented."""
    assert fingerprint(b"A", b"", b"x 1") == xxhash.xxh64_intdigest(b"A\nx #")
    assert fingerprint(b"A", b"", b"x") != fingerprint(b"B", b"", b"x")


def test_long_stack_traces_are_bounded():
    """A stack trace of a megabyte takes bounded text and differs by its beginning only."""
    lines = [b'  File "a.py", line 1, in f%s\n' % (b"x" * (n % 50)) for n in range(40_000)]
    stack = b"".join(lines)
    said = frames(stack)
    assert MAX_TEXT_BYTES <= len(said) < MAX_TEXT_BYTES + 100
    assert said == frames(stack[:MAX_INPUT_BYTES] + b"anything")
    assert len(prose(b"y " * 1_000_000)) < MAX_INPUT_BYTES


PIECES = st.sampled_from(
    [
        *(b'  File "/a/b1.py", line 3, in f\n', b"\tat a.B(C.java:1)\n", b"goroutine 1 [r]:\n"),
        *(b"Caused by: x.Y: z\n", b" ---> x: y\n", b"\n", b"\r\n", b"    ", b"\t", b"|", b" | "),
        *(b"'", b'"', b"`", b"\\", b"/", b"@", b":", b": ", b", ", b".", b"+", b"=", b"(", b")"),
        *(b"0", b"1x", b"a1", b"Http2", b"v1b2", b"word", b"-", b"_", b"^", b"~", b"#", b"\xff"),
        *(b":in '", b"0x1f", b"10:11", b"a@b9", b"{", b"}", b",", b";", b"?", b"\x00", b"at "),
    ]
)
TEXTS = st.binary(max_size=300) | st.lists(PIECES, max_size=40).map(b"".join)


@given(TEXTS, TEXTS, TEXTS)
def test_never_raises(error_type, stack, message):
    """Any bytes have a fingerprint that fits 64 bits, and a text no longer than its source."""
    assert 0 <= fingerprint(error_type, stack, message) < 2**64
    assert len(frames(stack)) <= len(stack)
    assert len(prose(message)) <= len(message)


@given(TEXTS, st.binary(max_size=20), st.randoms(use_true_random=False))
def test_digits_do_not_matter(stack, message, random):
    """Replacing every digit by another digit never changes the text."""

    def other(source: bytes) -> bytes:
        return re.sub(rb"[0-9]", lambda _: b"%d" % random.randrange(10), source)

    assert frames(other(stack)) == frames(stack)
    assert prose(other(stack)) == prose(stack)
    assert normalise(other(stack), other(message)) == normalise(stack, message)


@given(TEXTS, TEXTS, TEXTS)
def test_stack_trace_beats_message(stack, one, other):
    """Where the stack trace says anything, the message does not matter."""
    if normalise(stack, b""):
        assert normalise(stack, one) == normalise(stack, other)
    else:
        assert normalise(stack, one) == prose(one)


@given(TEXTS)
def test_text_has_no_digit_and_no_blank_edges(stack):
    """No digit survives; lines neither begin nor end with a space, and none is empty."""
    for said in (frames(stack), prose(stack)):
        assert not re.search(rb"[0-9]", said)
        assert all(line and line == line.strip(b" ") for line in said.split(b"\n") if said)
