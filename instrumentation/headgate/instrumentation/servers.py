"""Servers that leave by a signal's default action: what is left is delivered before, as no exit handler runs.

uvicorn, told to stop by SIGTERM or SIGINT, finishes its requests and then raises the signal again, as a
well-behaved program does. Without this the last batch and up to a minute of metrics would be lost.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import wrapt

from headgate.instrumentation.exit import ending
from headgate.instrumentation.quiet import problem

if TYPE_CHECKING:
    from types import ModuleType


def deliver_at_shutdown() -> None:
    """Add to uvicorn, once the program imports it, what delivers before the signal."""
    wrapt.register_post_import_hook(_hook, "uvicorn.server")


def _hook(module: ModuleType) -> None:
    try:
        wrapt.wrap_function_wrapper(module, "Server.shutdown", _shutdown)
    except AttributeError as error:
        # A later uvicorn may be built differently.
        problem("hooking into uvicorn", error)


async def _shutdown(wrapped: Any, server: Any, args: Any, kwargs: Any) -> None:
    await wrapped(*args, **kwargs)
    # Without a signal the interpreter ends in the usual way, and delivers then.
    if getattr(server, "_captured_signals", None):
        await asyncio.to_thread(ending.flush)
