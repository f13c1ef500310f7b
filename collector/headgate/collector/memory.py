"""Loads and stores of kernels that name a byte by an address and a place: unchecked, one instruction each.

The caller has compared the place with the array's size before; a place outside reads or writes whatever lies there.
`copy` and `same` are given sizes and check them. Kernels pass addresses to each other instead of arrays, because an
array that is handed to a function, even one compiled into its caller, has its references counted on the way, which
costs more than what the small ones do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from headgate.collector.kernel import i64, inlined, unchecked

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def _address(_: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        proxy: Any = cgutils.create_struct_proxy(signature.args[0])  # type: ignore[no-untyped-call]  # numba's
        data = proxy(context, builder, arguments[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return (types.int64(array), generate) if isinstance(array, types.Array) else None


def _pointer(builder: Any, address: Any, place: Any, width: Any) -> Any:
    return builder.inttoptr(builder.add(address, place), width.as_pointer())


def _load(bits: int, result: Any) -> Callable[..., Any]:
    def typing(_: Any, address: Any, place: Any) -> Any:
        def generate(_: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            width = ir.IntType(bits)
            loaded = builder.load(_pointer(builder, arguments[0], arguments[1], width))
            loaded.align = 1
            return builder.zext(loaded, ir.IntType(64)) if bits < 64 else loaded

        integers = isinstance(address, types.Integer) and isinstance(place, types.Integer)
        return (result(types.int64, types.int64), generate) if integers else None

    made: Callable[..., Any] = intrinsic(typing)
    return made


def _store(bits: int) -> Callable[..., Any]:
    def typing(_: Any, address: Any, place: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            width = ir.IntType(bits)
            value = builder.trunc(arguments[2], width) if bits < 64 else arguments[2]
            builder.store(value, _pointer(builder, arguments[0], arguments[1], width), align=1)
            return context.get_dummy_value()

        integers = all(isinstance(each, types.Integer) for each in (address, place, value))
        return (types.void(types.int64, types.int64, types.uint64), generate) if integers else None

    made: Callable[..., Any] = intrinsic(typing)
    return made


def _prefetch(_: Any, address: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        byte, flag = ir.IntType(8), ir.IntType(32)
        pointer = _pointer(builder, arguments[0], arguments[1], byte)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), flag, flag, flag])
        module: Any = builder.module
        function = module.declare_intrinsic("llvm.prefetch", [byte.as_pointer()], kind)
        read, keep, data = flag(0), flag(3), flag(1)
        builder.call(function, [pointer, read, keep, data])
        return context.get_dummy_value()

    integers = isinstance(address, types.Integer) and isinstance(place, types.Integer)
    return (types.void(types.int64, types.int64), generate) if integers else None


AHEAD = 16
"""How many rows ahead of their use bytes are asked for that lie far apart: as long as memory takes to answer."""

if TYPE_CHECKING:

    def address(array: NDArray[Any]) -> int:
        """Return where the array's first byte lies; the array must outlive the use of it."""

    def byte_at(base: int, place: int) -> int:
        """Return one byte."""

    def load32(base: int, place: int) -> np.uint64:
        """Return 4 bytes as a little-endian number."""

    def load64(base: int, place: int) -> np.uint64:
        """Return 8 bytes as a little-endian number."""

    def prefetch(base: int, place: int) -> None:
        """Ask for the bytes around a place, which may lie anywhere, before they are used."""

    def store8(base: int, place: int, value: int) -> None:
        """Write one byte, the lowest of `value`."""

    def store64(base: int, place: int, value: np.uint64) -> None:
        """Write a little-endian number of 8 bytes."""
else:
    address = intrinsic(_address)
    byte_at = _load(8, types.int64)
    load32 = _load(32, types.uint64)
    load64 = _load(64, types.uint64)
    prefetch = intrinsic(_prefetch)
    store8 = _store(8)
    store64 = _store(64)


@inlined
def big_endian(value: np.uint64) -> np.uint64:
    """Return the number whose bytes are those of `value` in the opposite order: one instruction."""
    ones, twos = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
    value = ((value >> np.uint64(8)) & ones) | ((value & ones) << np.uint64(8))
    value = ((value >> np.uint64(16)) & twos) | ((value & twos) << np.uint64(16))
    return (value >> np.uint64(32)) | (value << np.uint64(32))


@inlined
def copy(
    source: int, source_size: int, offset: int, out: int, out_size: int, position: int, size: int
) -> bool:
    """Copy `size` bytes; return False, having copied nothing, when either range lies outside its array.

    It may write up to 15 bytes more than that, as far as `out` reaches: what is written in order is not harmed.
    """
    room = min(source_size - offset, out_size - position)
    if size < 0 or offset < 0 or position < 0 or size > room:
        return False
    source += offset
    out += position
    done = i64(0)
    while done < size and room - done >= 16:
        low, high = load64(source, done), load64(source, done + 8)
        store64(out, done, low)
        store64(out, done + 8, high)
        done += 16
    if done < size:
        copy_singly(source, out, done, size)
    return True


@unchecked
def copy_singly(source: int, out: int, done: int, size: int) -> None:
    """Copy bytes done..size one by one: the last of a buffer."""
    for i in range(done, size):
        store8(out, i, byte_at(source, i))


@inlined
def same(base: int, base_size: int, left: int, right: int, size: int) -> bool:
    """Return whether two stretches of a buffer are equal; False when either lies outside it."""
    room = base_size - max(left, right)
    if size < 0 or left < 0 or right < 0 or size > room:
        return False
    if size < 8:
        if room >= 8:
            differing = load64(base, left) ^ load64(base, right)
            return bool(differing & ((np.uint64(1) << np.uint64(8 * size)) - np.uint64(1)) == 0)
        for i in range(size):
            if byte_at(base, left + i) != byte_at(base, right + i):
                return False
        return True
    done = i64(0)
    while size - done > 8:
        if load64(base, left + done) != load64(base, right + done):
            return False
        done += 8
    return bool(load64(base, left + size - 8) == load64(base, right + size - 8))


@unchecked
def copy_bytes(
    source: NDArray[np.uint8], offset: int, out: NDArray[np.uint8], position: int, size: int
) -> bool:
    """Copy between arrays; see `copy`."""
    return copy(address(source), source.size, offset, address(out), out.size, position, size)


@unchecked
def same_bytes(buffer: NDArray[np.uint8], left: int, right: int, size: int) -> bool:
    """Compare in an array; see `same`."""
    return same(address(buffer), buffer.size, left, right, size)
