"""The compiled loop that replays a tape: every entry is one operation on rows of numbers, at addresses that move with the slot.

An entry is a run of 64-bit integers: its length, the operation, how many rows there are along two axes, the real numbers in
a row of the result, whether the rows of the second axis follow each other in all operands, then operands of five
integers each, the result first: address, bytes from slot to slot, bytes along either axis of rows, and the `Layout` of
a row. Transforms have more between (`tape.Tape.transform`). Before the first entry stand the slot of the first step, how far
it moves each time, how many steps there are, and the length of the table.

Rows of the second axis, the environments, know nothing of each other. All steps are replayed for a few of them, then for the
next few, so that what a step makes stays near the processor.
"""

import enum
import functools

import numpy as np
import warp as wp

from pliant.sim.precision import Precision
from pliant.sim.spectral.native.transform import CODE, MOST, transposition

REGISTER = 32  # bytes that are worked on at once
TERMS = 12  # most products of a COMBINE
GROUPS = 2  # registers of environments at a time
CHUNK = 128  # numbers of a row at a time where operands must be copied
PART = 512  # numbers of a row at a time in a sum of products
TRANSFORM = 9  # integers of a transform between what every entry has and its operands


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


TRANSFORMS = (Operation.TO_POINTS, Operation.TO_MODES)


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
    typedef REAL H __attribute__((vector_size(LANES / 2 * sizeof(REAL))));
    typedef REAL G __attribute__((vector_size(LANES / 2 * sizeof(REAL)), aligned(sizeof(REAL))));
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
            int j = 0;
            for (from += i / 2; 2 * j + 2 * LANES <= m; j += LANES) {
                const V x = *(const U*)(from + j);
                *(U*)(to + 2 * j) = __builtin_shufflevector(x, x, LOW_HALF);
                *(U*)(to + 2 * j + LANES) = __builtin_shufflevector(x, x, HIGH_HALF);
            }
            for (; j < m / 2; ++j) to[2 * j] = to[2 * j + 1] = from[j];
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
    // r = act(r, a, b) for as many numbers as fill registers; the rest is left
    auto registers_of = [](REAL* r, const REAL* a, int m, auto b, auto act) {
        for (int i = 0; i < m / LANES * LANES; i += LANES) *(U*)(r + i) = act(r + i, *(const U*)(a + i), b(i));
    };
    auto with_operation = [&](int operation, REAL* r, const REAL* a, int m, auto b) {
        if (operation == MULTIPLY) registers_of(r, a, m, b, [](const REAL*, V x, V y) { return x * y; });
        else if (operation == MULTIPLY_ADD)
            registers_of(r, a, m, b, [](const REAL* z, V x, V y) { return *(const U*)z + x * y; });
        else if (operation == ADD) registers_of(r, a, m, b, [](const REAL*, V x, V y) { return x + y; });
        else registers_of(r, a, m, b, [](const REAL*, V x, V y) { return x - y; });
    };
    // What the most common operands can do without a copy: returns how many numbers are done.
    auto direct = [=](int operation, REAL* r, const Row& first, const Row& second, int i, int m) APART -> int {
        const REAL *a = (const REAL*)first.at + i, *b = (const REAL*)second.at;
        if (first.layout != SAME || operation > MULTIPLY_ADD) return 0;
        if (operation == COPY) {
            registers_of(r, a, m, [](int) { return V{}; }, [](const REAL*, V x, V) { return x; });
        } else if (second.layout == SAME) {
            with_operation(operation, r, a, m, [=](int j) -> V { return *(const U*)(b + i + j); });
        } else if (second.layout == NUMBER) {
            const V number = V{} + b[0];
            with_operation(operation, r, a, m, [=](int) { return number; });
        } else if (second.layout == DOUBLED) {
            with_operation(operation, r, a, m, [=](int j) -> V {
                const H x = *(const G*)(b + (i + j) / 2);
                return __builtin_shufflevector(x, x, LOW_HALF);
            });
        } else if (second.layout == TURNED) {
            auto factor = [=](int j) -> V { return *(const U*)(b + i + j); };
            if (operation == MULTIPLY) registers_of(r, a, m, factor, [=](const REAL*, V x, V y) { return turned(x, y); });
            else registers_of(r, a, m, factor, [=](const REAL* z, V x, V y) { return *(const U*)z + turned(x, y); });
        } else {
            return 0;
        }
        return m / LANES * LANES;
    };
    auto pointwise = [=](int operation, const Row& r, const Row& first, const Row& second, int i, int numbers) APART {
        V rooms[3][registers], made[registers];
        for (i += direct(operation, (REAL*)r.at + i, first, second, i, numbers - i); i < numbers; i += CHUNK) {
            const int m = numbers - i < CHUNK ? numbers - i : CHUNK, n = (m + LANES - 1) / LANES;
            const U *a = fetch(first, i, m, rooms[0]), *b = fetch(second, i, m, rooms[1]);
            if (operation == COPY) for (int j = 0; j < n; ++j) made[j] = a[j];
            else if (operation == ADD) for (int j = 0; j < n; ++j) made[j] = (V)a[j] + (V)b[j];
            else if (operation == SUBTRACT) for (int j = 0; j < n; ++j) made[j] = (V)a[j] - (V)b[j];
            else if (operation == CONJUGATE) for (int j = 0; j < n; ++j) made[j] = (V)a[j] * -V{SIGNS};
            else if (second.layout >= PAIR) for (int j = 0; j < n; ++j) made[j] = turned(a[j], b[j]);
            else for (int j = 0; j < n; ++j) made[j] = (V)a[j] * (V)b[j];
            if (operation == MULTIPLY_ADD) {
                const U* old = fetch(Row{r.at, SAME}, i, m, rooms[2]);
                for (int j = 0; j < n; ++j) made[j] += (V)old[j];
            }
            REAL* to = (REAL*)r.at + i;
            if (m % LANES) for (int j = 0; j < m; ++j) to[j] = ((const REAL*)made)[j];
            else for (int j = 0; j < n; ++j) ((U*)to)[j] = made[j];
        }
    };
    // a b + c d + ... of complex numbers and real factors in one pass; returns how many numbers are done
    struct Two { enum { pairs = 2 }; };
    struct Three { enum { pairs = 3 }; };
    struct Four { enum { pairs = 4 }; };
    struct Five { enum { pairs = 5 }; };
    auto at_once = [](auto known, const Row& r, const Row* operands, int numbers) -> int {
        enum { pairs = decltype(known)::pairs };
        const REAL *a[pairs], *b[pairs];
        for (int t = 0; t < pairs; ++t) {
            if (operands[2 * t].layout != SAME || operands[2 * t + 1].layout != DOUBLED) return 0;
            a[t] = (const REAL*)operands[2 * t].at;
            b[t] = (const REAL*)operands[2 * t + 1].at;
        }
        for (int i = 0; i < numbers / LANES * LANES; i += LANES) {
            V sum = {};
            #pragma unroll
            for (int t = 0; t < pairs; ++t) {
                const H x = *(const G*)(b[t] + i / 2);
                sum += *(const U*)(a[t] + i) * __builtin_shufflevector(x, x, LOW_HALF);
            }
            *(U*)((REAL*)r.at + i) = sum;
        }
        return numbers / LANES * LANES;
    };
    auto combined = [&](const Row& r, const Row* operands, int count, int numbers) {
        int i = 0;
        if (count == 4) i = at_once(Two{}, r, operands, numbers);
        else if (count == 6) i = at_once(Three{}, r, operands, numbers);
        else if (count == 8) i = at_once(Four{}, r, operands, numbers);
        else if (count == 10) i = at_once(Five{}, r, operands, numbers);
        for (; i < numbers; i += PART) {
            const int end = numbers - i < PART ? numbers : i + PART;
            for (int t = 0; t < count; t += 2)
                pointwise(t ? MULTIPLY_ADD : MULTIPLY, r, operands[t], operands[t + 1], i, end);
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
    // `sources` rows of n numbers, their product or that of two and a number, for LANES environments: a[column] of all of them
    auto collect = [&](const REAL* (*from)[LANES], int sources, int numbers, V* a) {
        auto row = [&](int o, int l, int i) -> V { return *(const U*)(from[o][l] + i); };
        auto one = [&](int l, int i) { return from[0][l][i]; };
        auto product = [&](int l, int i) { return from[0][l][i] * from[1][l][i]; };
        auto scaled = [&](int l, int i) { return from[0][l][i] * from[1][l][i] * from[2][l][0]; };
        if (sources == 1) gather([&](int l, int i) { return row(0, l, i); }, one, numbers, a);
        else if (sources == 2) gather([&](int l, int i) { return row(0, l, i) * row(1, l, i); }, product, numbers, a);
        else gather([&](int l, int i) { return row(0, l, i) * row(1, l, i) * from[2][l][0]; }, scaled, numbers, a);
    };
    auto transforms = [&](const I* entry, int slot, int begin, int end) {
        const I *with = entry + 6, *to = with + TRANSFORM, *from = to + 5;
        const int inner = end - begin, rows = entry[2] * inner, sources = with[8];
        const REAL* source[3][LANES];
        REAL* target[LANES];
        for (int row = 0; row < rows; row += LANES) {
            for (int l = 0; l < LANES; ++l) {
                const int r = row + l < rows ? row + l : rows - 1;
                for (int o = 0; o < sources; ++o)
                    source[o][l] = (const REAL*)place(from + 5 * o, slot, r / inner, begin + r % inner);
                target[l] = (REAL*)place(to, slot, r / inner, begin + r % inner);
            }
            const int valid = rows - row < LANES ? rows - row : LANES, n = with[0], kept = with[1];
            const int* places = (const int*)with[2];
            const REAL *stages = (const REAL*)with[3], *split = (const REAL*)with[4], *factor = (const REAL*)with[6];
            V* room = (V*)with[5];
            collect(source, sources, entry[1] == TO_POINTS ? 2 * kept : n, room);
            if (entry[1] == TO_POINTS) to_points(target, valid, n, kept, places, stages, split, room, factor);
            else to_modes(target, valid, n, kept, places, stages, split, room, factor, with[7]);
        }
    };
    const I *head = (const I*)table.data, *stop = head + head[3];
    int slot = head[0];
    for (int step = 0; step < head[2]; ++step, slot += head[1])
        for (const I* entry = head + 4; entry < stop; entry += entry[0]) {
            const int begin = group * GROUP, end = begin + GROUP < entry[3] ? begin + GROUP : entry[3];
            if (entry[1] >= TO_POINTS) {
                transforms(entry, slot, begin, end);
                continue;
            }
            const int count = (entry[0] - 6) / 5 - 1, numbers = entry[4], long_row = entry[5] ? end - begin : 1;
            for (int first = 0; first < entry[2]; ++first)
                for (int second = begin; second < end; second += long_row) {
                    Row rows[1 + 2 * TERMS];
                    for (int o = 0; o <= count; ++o)
                        rows[o] = Row{place(entry + 6 + 5 * o, slot, first, second), (int)entry[10 + 5 * o]};
                    if (entry[1] == COPY && numbers * long_row == 1) *(REAL*)rows[0].at = *(const REAL*)rows[1].at;
                    else if (entry[1] == ADD_MEAN) mean(rows[0], rows[1], numbers);
                    else if (entry[1] == COMBINE) combined(rows[0], rows + 1, count, numbers * long_row);
                    else pointwise(entry[1], rows[0], rows[1], rows[count], 0, numbers * long_row);
                }
        }
"""


def _source(p: Precision) -> str:
    name, size = {"float32": ("float", 4), "float64": ("double", 8)}[p.name]
    lanes = REGISTER // size
    listed = {
        "EVEN": ", ".join(str(i & ~1) for i in range(lanes)),
        "ODD": ", ".join(str(i | 1) for i in range(lanes)),
        "SWAPPED": ", ".join(str(i ^ 1) for i in range(lanes)),
        "LOW_HALF": ", ".join(str(i // 2) for i in range(lanes)),
        "HIGH_HALF": ", ".join(str((lanes + i) // 2) for i in range(lanes)),
        "SIGNS": ", ".join("1" if i % 2 else "-1" for i in range(lanes)),
    }
    text = CODE_OF_OPERATIONS.replace("TRANSFORMS", CODE.replace("TRANSPOSITION", transposition(lanes)))
    values = {entry.name: int(entry) for kind in (Operation, Layout) for entry in kind}
    constants = {
        "LANES": lanes,
        "GROUP": GROUPS * lanes,
        "CHUNK": CHUNK,
        "PART": PART,
        "TRANSFORM": TRANSFORM,
        "MOST": MOST,
        "TERMS": TERMS,
        "REAL": name,
        "APART": "__attribute__((noinline))",
        **values,
    }
    head = "".join(f"#define {key} {value}\n" for key, value in constants.items())
    lists = "".join(f"#define {key} {value}\n" for key, value in listed.items())
    undone = "".join(f"#undef {key}\n" for key in (*constants, *listed))
    return f"\n{head}{lists}{text}\n{undone}"


@functools.cache
def replay_kernel(p: Precision) -> wp.Kernel:
    """Replays a table; its threads are groups of environments, one after the other."""

    @wp.func_native(_source(p))
    def replay(table: wp.array(dtype=wp.int64), group: int): ...

    @wp.kernel(enable_backward=False, module="unique", module_options={"cpu_compiler_flags": "-march=native"})
    def replay_tape(table: wp.array(dtype=wp.int64)):
        replay(table, wp.tid())

    return replay_tape


def group_count(p: Precision, environments: int) -> int:
    """How many groups there are."""
    return -(-environments // (GROUPS * REGISTER // np.dtype(p.numpy).itemsize))
