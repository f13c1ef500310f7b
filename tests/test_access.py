"""Who gets to which application: by token and role, and what is said to those who do not."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from headgate.store import StoreError
from headgate.web.access import Guarded
from headgate.web.tokens import Role, Tokens, create_token

NOW = datetime(2026, 9, 1, tzinfo=UTC)
METHODS = ["GET", "POST", "DELETE"]


def app_of(tenant: str) -> Starlette:
    """Return an application that says whose it is and who asks."""
    if tenant == "broken":
        raise StoreError("the tenant's database cannot be opened now")

    async def say(request):
        token = request.scope["token"]
        return JSONResponse({"tenant": tenant, "name": token.name if token else None})

    paths = ("/healthz", "/readyz", "/api/reports", "/api/sampling", "/api/exports/1")
    return Starlette(routes=[Route(path, say, methods=METHODS) for path in paths])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.json"


@pytest.fixture
def ask(path):
    """Return a function that makes one request and returns its answer."""

    def run(method: str, url: str, authorization: str = "") -> httpx.Response:
        tokens = Tokens(path, clock=lambda: NOW, monotonic_s=lambda: 0.0)
        headers = {"authorization": authorization} if authorization else {}

        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(Guarded(tokens, app_of))
            async with httpx.AsyncClient(transport=transport, base_url="http://h") as client:
                return await client.request(method, url, headers=headers)

        return anyio.run(request)

    return run


def make(path, role: Role, tenant: str = "") -> str:
    return create_token(path, name=str(role), tenant=tenant, role=role, now=NOW, expires=None)[1]


def test_without_a_file_of_tokens_everybody_may_do_everything(ask):
    """In the server's own database, as nobody."""
    for method in METHODS:
        answer = ask(method, "/api/sampling")
        assert (answer.status_code, answer.json()) == (200, {"tenant": "", "name": None})


@pytest.mark.parametrize(
    ("role", "method", "url", "status"),
    [
        (Role.READ, "GET", "/api/reports", 200),
        (Role.READ, "POST", "/api/exports/1", 200),
        (Role.READ, "DELETE", "/api/exports/1", 200),
        (Role.READ, "POST", "/api/sampling", 403),
        (Role.ADMIN, "POST", "/api/sampling", 200),
        (Role.ADMIN, "GET", "/api/reports", 200),
        (Role.INGEST, "GET", "/api/reports", 403),
        (Role.INGEST, "GET", "/healthz", 200),
    ],
)
def test_a_role_may_do_what_it_is_for(ask, path, role, method, url, status):
    """Readers look and export, admins change as well (REQ-ACC-01), senders do neither; the tenant is the token's."""
    answer = ask(method, url, f"Bearer {make(path, role, 'acme')}")
    assert answer.status_code == status
    if status == 200 and url != "/healthz":
        assert answer.json() == {"tenant": "acme", "name": str(role)}
    if status == 403:
        assert f"has the role {role}" in answer.json()["error"]


def test_a_browsers_password_looks_but_does_nothing(ask, path):
    """A page elsewhere could make the browser send it: only what is safe by HTTP is done for it."""
    secret = make(path, Role.ADMIN)
    basic = f"Basic {base64.b64encode(f'me:{secret}'.encode()).decode()}"
    assert ask("GET", "/api/reports", basic).status_code == 200
    for url in ("/api/sampling", "/api/exports/1"):
        answer = ask("POST", url, basic)
        assert answer.status_code == 401
        assert "Bearer" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer hg_x", "Basic !", "Digest a=b", "x"]
)
def test_everybody_else_is_asked_for_a_token(ask, path, authorization):
    """401 with a challenge and how to get one; whether the server lives is no secret."""
    make(path, Role.READ)
    answer = ask("GET", "/api/reports", authorization)
    assert answer.status_code == 401
    assert "headgate token create" in answer.json()["error"]
    assert ask("GET", "/readyz", authorization).status_code == 200


def test_a_tenant_that_cannot_be_opened_is_said(ask, path):
    """503 in the API's words, and tried again the next time."""
    answer = ask("GET", "/api/reports", f"Bearer {make(path, Role.READ, 'broken')}")
    assert (answer.status_code, answer.json()) == (
        503,
        {"error": "the tenant's database cannot be opened now"},
    )
