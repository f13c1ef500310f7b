"""A font made by hand, which shows one character as a square: TrueType with the tables that it cannot be without."""

from __future__ import annotations

import struct

FAMILY = "One Glyph"
_UNITS = 1000


def font(character: str) -> bytes:
    """Return the bytes of a font that has this character alone (OpenType 1.9, "Required tables")."""
    corners = struct.pack(">hhhhh", 1, 100, 0, 900, 700)  # one contour, and the box that it fills
    square = corners + struct.pack(">HH", 3, 0) + bytes([1] * 4)
    square += struct.pack(">hhhh", 100, 800, 0, -800) + struct.pack(">hhhh", 0, 0, 700, 0)
    names = ((1, FAMILY), (2, "Regular"), (4, FAMILY), (6, FAMILY.replace(" ", "")))
    texts = [text.encode("utf-16-be") for _, text in names]
    starts = [sum(map(len, texts[:number])) for number in range(len(texts))]
    records = [
        struct.pack(">HHHHHH", 3, 1, 0x409, name, len(text), at)
        for (name, _), text, at in zip(names, texts, starts, strict=True)
    ]
    point = ord(character)
    group = struct.pack(">HHIII", 12, 0, 28, 0, 1) + struct.pack(">III", point, point, 1)
    tables = {
        b"OS/2": struct.pack(">HhHHH", 4, _UNITS, 400, 5, 0) + bytes(58) + struct.pack(
            ">HHHhhhHH", 0x40, 0xFFFF, 0xFFFF, 800, -200, 0, 800, 200
        ) + bytes(8) + struct.pack(">hhHHH", 500, 700, 0, 32, 0),
        b"cmap": struct.pack(">HHHHI", 0, 1, 3, 10, 12) + group,
        b"glyf": square,
        b"head": struct.pack(">HHIIIHH", 1, 0, 0x10000, 0, 0x5F0F3CF5, 3, _UNITS) + bytes(16)
        + struct.pack(">hhhhHHhhh", 100, 0, 900, 700, 0, 8, 2, 1, 0),
        b"hhea": struct.pack(">HHhhhH", 1, 0, 800, -200, 0, _UNITS) + bytes(22)
        + struct.pack(">H", 2),
        b"hmtx": struct.pack(">HhHh", _UNITS, 0, _UNITS, 100),
        b"loca": struct.pack(">III", 0, 0, len(square)),
        b"maxp": struct.pack(">IHHH", 0x10000, 2, 4, 1) + bytes(22),
        b"name": struct.pack(">HHH", 0, len(names), 6 + 12 * len(names)) + b"".join(records + texts),
        b"post": struct.pack(">I", 0x30000) + bytes(28),
    }  # fmt: skip
    directory, content = struct.pack(">IHHHH", 0x10000, len(tables), 128, 3, 32), b""
    begin = len(directory) + 16 * len(tables)
    for tag, table in tables.items():
        directory += tag + struct.pack(">III", _checksum(table), begin + len(content), len(table))
        content += table + bytes(-len(table) % 4)
    return directory + content


def _checksum(table: bytes) -> int:
    whole = table + bytes(-len(table) % 4)
    return sum(struct.unpack(f">{len(whole) // 4}I", whole)) & 0xFFFFFFFF
