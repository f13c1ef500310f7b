"""`identify` and `session`: say who is acting, for what happens from here on."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from opentelemetry.context import Context, attach, get_current

from headgate.instrumentation import attributes as names
from headgate.instrumentation import telemetry
from headgate.instrumentation.detach import detach
from headgate.instrumentation.identity import Identity, current, identifier, mark, within
from headgate.instrumentation.quiet import problem
from headgate.instrumentation.switch import switch

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType
    from typing import Self


def identify(user: object = None, session: object = None) -> None:
    """Attribute the current request, task or thread to `user` and `session`; None changes nothing.

    The current span and the one that entered this process are marked too, so it may be called after
    authentication.
    """
    try:
        identity = Identity(identifier(user), identifier(session))
        attach(within(get_current(), identity, propagate=telemetry.settings().propagate))
        mark(identity)
    except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
        problem("identify", error)


class session:  # noqa: N801  # used as a verb: `with session(user="u1"):`
    """One session around a `with` block: a visit of a user, a run of a script (REQ-EVT-04).

    Recorded as `session.start` and `session.end` events. `id` defaults to 128 random bits. Works
    around `await` as well.
    """

    def __init__(self, user: object = None, id: object = None) -> None:  # noqa: A002  # reads well where it is written
        self.user = identifier(user)
        self.id = identifier(id) or secrets.token_hex(16)
        self._token: Token[Context] | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        try:
            before = current().session
            self._token = attach(
                within(
                    get_current(),
                    Identity(self.user, self.id),
                    propagate=telemetry.settings().propagate,
                )
            )
            self._began = time.monotonic()
            self._say(names.EVENT_SESSION_START, before)
        except Exception as error:  # noqa: BLE001  # telemetry never breaks its host
            problem("the start of a session", error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._say(names.EVENT_SESSION_END, "", time.monotonic() - self._began)
            token, self._token = self._token, None
            if token is not None:
                detach(token)
        except Exception as failure:  # noqa: BLE001  # telemetry never breaks its host
            problem("the end of a session", failure)

    def _say(self, name: str, previous: str, seconds: float | None = None) -> None:
        if switch.on:
            from headgate.instrumentation.events import emit  # as above

            emit(name, {names.SESSION_PREVIOUS_ID: previous} if previous else {}, seconds)
