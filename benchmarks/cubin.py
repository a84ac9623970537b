"""Registers and stack of the kernels in a compiled CUDA binary, read from its ELF `.nv.info` section.

Entries of `.nv.info` are a format byte, an attribute byte, then a 16-bit value or, in format 4, a 16-bit length and
that many bytes. The attributes read here carry two 32-bit words: index of the kernel's symbol, and value.
"""

import struct
from pathlib import Path
from typing import NamedTuple

from pliant.sim.errors import InputError

SIZED, FRAME_SIZE, MIN_STACK_SIZE, REGISTER_COUNT = 0x04, 0x11, 0x12, 0x2F
SYMBOL_SIZE = 24


class Resources(NamedTuple):
    """What one thread of a kernel takes: 32-bit registers, and bytes of local memory for stack and spills."""

    registers: int
    stack: int


class Section(NamedTuple):
    name: str
    data: bytes


def text(table: bytes, offset: int) -> str:
    """The zero-terminated string at an offset."""
    return table[offset : table.index(b"\0", offset)].decode()


def sections(binary: bytes) -> list[Section]:
    """The sections of a 64-bit little-endian ELF file.

    Errors: `InputError` for anything else.
    """
    if binary[:6] != b"\x7fELF\x02\x01":
        raise InputError("cubin: expected a 64-bit little-endian ELF file, got something else; compile it anew.")
    (table,) = struct.unpack_from("<Q", binary, 40)
    size, count, names_index = struct.unpack_from("<HHH", binary, 58)
    headers = [struct.unpack_from("<IIQQQQ", binary, table + size * i) for i in range(count)]
    _, _, _, _, start, length = headers[names_index]
    names = binary[start : start + length]
    return [Section(text(names, h[0]), binary[h[4] : h[4] + h[5]]) for h in headers]


def attributes(info: bytes) -> list[tuple[int, int, int]]:
    """(attribute, symbol, value) of every entry that carries two words."""
    found, at = [], 0
    while at + 4 <= len(info):
        form, attribute, value = struct.unpack_from("<BBH", info, at)
        at += 4
        if form == SIZED:
            if value == 8:
                found.append((attribute, *struct.unpack_from("<II", info, at)))
            at += value
    return found


def resources(path: Path) -> dict[str, Resources]:
    """Resources of every kernel in a cubin, by symbol name."""
    by_name = {section.name: section.data for section in sections(path.read_bytes())}
    symbols, names = by_name[".symtab"], by_name[".strtab"]
    values = {(symbol, attribute): value for attribute, symbol, value in attributes(by_name[".nv.info"])}
    found = {}
    for symbol, attribute in values:
        if attribute == REGISTER_COUNT:
            (name,) = struct.unpack_from("<I", symbols, SYMBOL_SIZE * symbol)
            stack = max(values.get((symbol, FRAME_SIZE), 0), values.get((symbol, MIN_STACK_SIZE), 0))
            found[text(names, name)] = Resources(values[symbol, attribute], stack)
    return found
