"""What both protocols do with a request before the pipeline: decompress within the size limit, convert JSON."""

from __future__ import annotations

import zlib

from headgate.collector.errors import Malformed, TooLarge, Unsupported

MAX_REQUEST_BYTES = 64 << 20
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_MAX_MEMBERS = (
    16  # what follows a member is copied, so that many tiny ones would take quadratic time
)


def decompress(encoding: str, body: bytes, limit: int) -> bytes:
    """Undo a Content-Encoding.

    Raises TooLarge past `limit` bytes, Unsupported for other encodings than gzip and deflate, Malformed for what
    does not decompress.
    """
    match encoding.strip().lower():
        case "" | "identity":
            plain = body
        case "gzip" | "x-gzip" | "deflate":
            plain = _inflate(body, limit)
        case other:
            raise Unsupported(f"Content-Encoding {other!r} is not supported; send gzip or none")
    if len(plain) > limit:
        raise TooLarge(
            f"the request has more than {limit} bytes after decompression; send smaller batches"
        )
    return plain


def _inflate(body: bytes, limit: int) -> bytes:
    pieces = []
    room = limit + 1
    rest = body
    for _ in range(_MAX_MEMBERS):  # a gzip body may have several members
        if not rest or room <= 0:
            break
        member = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            piece = member.decompress(rest, room)
        except zlib.error as error:
            raise Malformed(f"the compressed body cannot be read: {error}") from error
        pieces.append(piece)
        room -= len(piece)
        if room > 0 and not member.eof:
            raise Malformed("the compressed body is cut off")
        rest = member.unused_data
    if rest and room > 0:
        raise Malformed(f"the compressed body has more than {_MAX_MEMBERS} members")
    return b"".join(pieces)
