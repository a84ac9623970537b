"""The compiled loop that replays a tape: every entry is one operation on rows of numbers, at addresses that move with the slot.

An entry is a run of 64-bit integers: its length, the operation, how many rows there are (two axes), the real numbers in
a row of the result, then operands of five integers each, the result first: address, bytes from slot to slot, bytes along
either axis of rows, and the `Layout` of a row. Transforms have more behind (`tape.Tape.transform`).
"""

import enum
import functools

import warp as wp

from sim.precision import Precision
from sim.spectral.native.transform import CODE, MOST, transposition

REGISTER = 32  # bytes that are worked on at once
CHUNK = 128  # numbers of a row at a time, so that what is made of them stays near


class Operation(enum.IntEnum):
    """What an entry does to its result r with operands a, b, ..."""

    COPY = 0  # r = a
    MULTIPLY = 1  # r = a b
    ADD = 2  # r = a + b
    SUBTRACT = 3  # r = a - b
    MULTIPLY_ADD = 4  # r += a b
    COMBINE = 5  # r = a b + c d + ...
    CONJUGATE = 6  # r = conj(a)
    ADD_MEAN = 7  # r += mean of a over a row; r is in float64
    TO_POINTS = 8
    TO_MODES = 9


class Layout(enum.IntEnum):
    """How the numbers of an operand's row meet those of the result's."""

    SAME = 0  # one each
    NUMBER = 1  # one real number for all
    DOUBLED = 2  # a real number for every complex one
    PAIR = 3  # one complex number for all, as a factor
    TURNED = 4  # complex factors of complex numbers


CODE_OF_OPERATIONS = """
    typedef REAL V __attribute__((vector_size(LANES * sizeof(REAL))));
    typedef REAL U __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL))));
    typedef long long I;
    TRANSFORMS
    struct Row { const char* at; int layout; };
    const int registers = CHUNK / LANES;
    // Numbers i .. i + m of a row, where they lie or in `room`.
    auto fetch = [&](const Row& row, int i, int m, V* room) -> const U* {
        const REAL* from = (const REAL*)row.at;
        REAL* to = (REAL*)room;
        if (row.layout == NUMBER) {
            const V number = V{} + from[0];
            for (int j = 0; j < (m + LANES - 1) / LANES; ++j) room[j] = number;
        } else if (row.layout == DOUBLED) {
            for (int j = 0; j < m / 2; ++j) to[2 * j] = to[2 * j + 1] = from[i / 2 + j];
        } else if (row.layout == PAIR) {
            for (int j = 0; j < m; ++j) to[j] = from[j & 1];
        } else if (m % LANES) {
            for (int j = 0; j < m; ++j) to[j] = from[i + j];
        } else {
            return (const U*)(from + i);
        }
        return (const U*)room;
    };
    // a b of complex numbers, part by part
    auto turned = [](V a, V b) -> V {
        const V real = __builtin_shufflevector(a, a, EVEN), imaginary = __builtin_shufflevector(a, a, ODD);
        const V swapped = __builtin_shufflevector(b, b, SWAPPED);
        return real * b + imaginary * swapped * V{SIGNS};
    };
    auto product = [&](const U* a, const U* b, int layout, int j) -> V {
        return layout >= PAIR ? turned(a[j], b[j]) : (V)a[j] * (V)b[j];
    };
    auto pointwise = [&](int operation, const Row& r, const Row* operands, int count, int numbers) {
        V rooms[2][registers], made[registers];
        for (int i = 0; i < numbers; i += CHUNK) {
            const int m = numbers - i < CHUNK ? numbers - i : CHUNK, n = (m + LANES - 1) / LANES;
            const U* a = fetch(operands[0], i, m, rooms[0]);
            const U* b = count > 1 ? fetch(operands[1], i, m, rooms[1]) : a;
            const int layout = count > 1 ? operands[1].layout : 0;
            if (operation == COPY) for (int j = 0; j < n; ++j) made[j] = a[j];
            else if (operation == ADD) for (int j = 0; j < n; ++j) made[j] = (V)a[j] + (V)b[j];
            else if (operation == SUBTRACT) for (int j = 0; j < n; ++j) made[j] = (V)a[j] - (V)b[j];
            else if (operation == CONJUGATE) for (int j = 0; j < n; ++j) made[j] = (V)a[j] * -V{SIGNS};
            else if (layout >= PAIR) for (int j = 0; j < n; ++j) made[j] = turned(a[j], b[j]);
            else for (int j = 0; j < n; ++j) made[j] = (V)a[j] * (V)b[j];
            if (operation == MULTIPLY_ADD) {
                const Row old = {r.at, SAME};
                a = fetch(old, i, m, rooms[0]);
                for (int j = 0; j < n; ++j) made[j] += (V)a[j];
            }
            for (int t = 2; t < count; t += 2) {
                a = fetch(operands[t], i, m, rooms[0]);
                b = fetch(operands[t + 1], i, m, rooms[1]);
                if (operands[t + 1].layout >= PAIR) for (int j = 0; j < n; ++j) made[j] += turned(a[j], b[j]);
                else for (int j = 0; j < n; ++j) made[j] += (V)a[j] * (V)b[j];
            }
            REAL* to = (REAL*)r.at + i;
            if (m % LANES) for (int j = 0; j < m; ++j) to[j] = ((const REAL*)made)[j];
            else for (int j = 0; j < n; ++j) ((U*)to)[j] = made[j];
        }
    };
    auto place = [](const I* operand, int slot, int first, int second) -> const char* {
        return (const char*)(operand[0] + slot * operand[1] + first * operand[2] + second * operand[3]);
    };
    auto mean = [](const Row& r, const Row& a, int numbers) {
        double total = 0.0;
        for (int i = 0; i < numbers; ++i) total += ((const REAL*)a.at)[i];
        *(double*)r.at += total / numbers;
    };
    auto transforms = [&](const I* entry, int slot) {
        const I *to = entry + 5, *from = to + 5, *with = from + 5;
        const int rows = entry[2] * entry[3], inner = entry[3];
        const REAL* source[LANES];
        REAL* target[LANES];
        for (int row = 0; row < rows; row += LANES) {
            for (int l = 0; l < LANES; ++l) {
                const int r = row + l < rows ? row + l : rows - 1;
                source[l] = (const REAL*)place(from, slot, r / inner, r % inner);
                target[l] = (REAL*)place(to, slot, r / inner, r % inner);
            }
            const int valid = rows - row < LANES ? rows - row : LANES;
            const int* places = (const int*)with[2];
            const REAL *stages = (const REAL*)with[3], *split = (const REAL*)with[4];
            if (entry[1] == TO_POINTS) to_points(source, target, valid, with[0], with[1], places, stages, split, (V*)with[5]);
            else to_modes(source, target, valid, with[0], with[1], places, stages, split, (V*)with[5]);
        }
    };
    const I* start = (const I*)table.data;
    for (int step = 0; step < steps; ++step, slot += stride)
        for (const I* entry = start; entry < start + length; entry += entry[0]) {
            if (entry[1] >= TO_POINTS) {
                transforms(entry, slot);
                continue;
            }
            const int count = (entry[0] - 5) / 5 - 1;
            for (int first = 0; first < entry[2]; ++first)
                for (int second = 0; second < entry[3]; ++second) {
                    Row rows[1 + 2 * TERMS];
                    for (int o = 0; o <= count; ++o)
                        rows[o] = Row{place(entry + 5 + 5 * o, slot, first, second), (int)entry[9 + 5 * o]};
                    if (entry[1] == ADD_MEAN) mean(rows[0], rows[1], entry[4]);
                    else pointwise(entry[1], rows[0], rows + 1, count, entry[4]);
                }
        }
"""
TERMS = 12  # most products of a COMBINE


def _source(p: Precision) -> str:
    name, size = {"float32": ("float", 4), "float64": ("double", 8)}[p.name]
    lanes = REGISTER // size
    listed = {
        "EVEN": ", ".join(str(i & ~1) for i in range(lanes)),
        "ODD": ", ".join(str(i | 1) for i in range(lanes)),
        "SWAPPED": ", ".join(str(i ^ 1) for i in range(lanes)),
        "SIGNS": ", ".join("1" if i % 2 else "-1" for i in range(lanes)),
    }
    text = CODE_OF_OPERATIONS.replace("TRANSFORMS", CODE.replace("TRANSPOSITION", transposition(lanes)))
    values = {entry.name: int(entry) for kind in (Operation, Layout) for entry in kind}
    constants = {"LANES": lanes, "CHUNK": CHUNK, "MOST": MOST, "TERMS": TERMS, "REAL": name, **values}
    head = "".join(f"#define {key} {value}\n" for key, value in constants.items())
    lists = "".join(f"#define {key} {value}\n" for key, value in listed.items())
    undone = "".join(f"#undef {key}\n" for key in (*constants, *listed))
    return f"\n{head}{lists}{text}\n{undone}"


@functools.cache
def replay_kernel(p: Precision) -> wp.Kernel:
    """Replays `length` integers of a table `steps` times, from a slot on, which moves by `stride` each time."""

    @wp.func_native(_source(p))
    def replay(table: wp.array(dtype=wp.int64), length: int, slot: int, stride: int, steps: int): ...

    @wp.kernel(enable_backward=False, module="unique")
    def replay_tape(table: wp.array(dtype=wp.int64), length: int, slot: int, stride: int, steps: int):
        replay(table, length, slot, stride, steps)

    return replay_tape
