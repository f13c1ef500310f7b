"""The client's way to the embedded engine, with two traps closed; imports chdb, which is optional and large.

The engine keeps the output of a query that failed half-way in the handle's buffer and puts it in front of the next
result on the same handle: a correctness bug and a leak between callers. A harmless query after every failure drains it.
And the client holds the whole of an Arrow result in memory, packed and several times: here it comes block by block, as
from a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver._backend.chdb_backend import (
    ChdbBackend,
    _ChdbStreamSource,
    _settings_clause,
    _strip_param_prefix,
)

from headgate.store.blocks import Blocks

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

_ARROW = "FORMAT ArrowStream"


class DrainingBackend(ChdbBackend):
    """What the client calls; a client's backend becomes one by having its class exchanged."""

    def _query_locked(
        self, sql: str | bytes, fmt: str, params: dict[str, Any] | None = None
    ) -> Any:
        try:
            return super()._query_locked(sql, fmt, params)
        except Exception:
            self._drain()
            raise

    def execute_raw_stream(  # noqa: D102  # the client's own name and meaning
        self,
        final_query: str | bytes,
        bind_params: dict[str, str],
        external_data: Any,
        runtime: Any,
        transport_settings: dict[str, str] | None,
    ) -> io.IOBase:
        if isinstance(final_query, str) and final_query.endswith(_ARROW):
            source = self._open_blocks(final_query, bind_params, runtime)
            streams = self._blocks(source)
            if first := next(streams, None):
                return Blocks(first, streams, source.close)
            # Without rows there is no block, and only the whole answer has the schema.
        return super().execute_raw_stream(
            final_query, bind_params, external_data, runtime, transport_settings
        )

    def _open_blocks(
        self, query: str, bind_params: dict[str, str], runtime: Any
    ) -> _ChdbStreamSource:
        # Settings that are SET could not be set back while the stream holds the handle.
        if settings := self._engine_settings(runtime.settings):
            query = f"{query.removesuffix(_ARROW)}SETTINGS {_settings_clause(settings)} {_ARROW}"
        params = _strip_param_prefix(bind_params)
        stream = self._open_stream(query, "ArrowStream", params, runtime.database)
        source = _ChdbStreamSource(stream, self._handle, self.show_clickhouse_errors)
        self._streams.add(source)  # else closing the client would wait for it for ever
        return source

    def _blocks(self, source: _ChdbStreamSource) -> Iterator[bytes]:
        try:
            yield from source.gen
        except Exception:
            with self._handle.lock:
                self._drain()
            raise

    def _drain(self) -> None:
        if self._handle.conn is not None:
            self._handle.conn.query("SELECT 1", "Null")
