"""Reads shards and masks their examples; written from the documentation of the format, with NumPy.

Training masks come from NumPy's generators. Masks and uniform numbers of the held-out split are those of
`electra pretrain`, which are a function of the example's number: with other masks, a difference between two held-out
losses would mostly be one between masks.
"""

import json
import os

import numpy

HEADER = 96
# Purposes of the random numbers of held-out examples, which are part of their key.
MASKING, SAMPLING = 1, 4


class Split:
    """The examples of a split, padded: `ids`, `lengths`, `seconds` (starts of second segments)."""

    def __init__(self, folder, split):
        with open(os.path.join(folder, "index.json"), encoding="utf-8") as file:
            index = json.load(file)
        self.length, self.special, self.vocab_size = index["sequence_length"], index["special"], index["vocab_size"]
        rows = []
        for name in index[split]["files"]:
            rows.extend(read(os.path.join(folder, name)))
        if len(rows) != index[split]["examples"]:
            raise ValueError(f"{folder}: {len(rows)} examples, index.json has {index[split]['examples']}")
        self.ids = numpy.full((len(rows), self.length), self.special["pad"], dtype=numpy.int64)
        for row, (ids, _) in enumerate(rows):
            self.ids[row, : len(ids)] = ids
        self.lengths = numpy.array([len(ids) for ids, _ in rows])
        self.seconds = numpy.array([second for _, second in rows])

    def batch(self, numbers, choose, masking, uniforms=None):
        """The examples `numbers`, masked by `choose(candidates, k, number)`, which returns positions and coins."""
        ids, lengths = self.ids[numbers], self.lengths[numbers]
        columns = numpy.arange(self.length)
        keep = columns < lengths[:, None]
        segments = (columns >= self.seconds[numbers][:, None]) & keep
        never = [self.special[name] for name in ("cls", "sep", "mask", "pad")]
        maskable = ~numpy.isin(ids, never)
        masked, positions, is_mask, numbers_drawn = ids.copy(), [], [], []
        for row, number in enumerate(numbers):
            candidates = numpy.flatnonzero(maskable[row])
            k = min(predictions(lengths[row], self.length, masking["rate"]), len(candidates))
            chosen, coins = choose(candidates, k, number)
            as_mask = coins < masking["mask_share"]
            masked[row, chosen[as_mask]] = self.special["mask"]
            positions.append(row * self.length + chosen)
            is_mask.append(as_mask)
            if uniforms is not None:
                numbers_drawn.append(uniforms(number, len(chosen)))
        positions = numpy.concatenate(positions)
        return {
            "input_ids": ids,
            "generator_ids": masked,
            "attention_mask": keep.astype(numpy.int64),
            "token_type_ids": segments.astype(numpy.int64),
            "positions": positions,
            "labels": ids.reshape(-1)[positions],
            "is_mask": numpy.concatenate(is_mask),
            "uniforms": numpy.concatenate(numbers_drawn) if uniforms is not None else None,
        }


def read(path):
    """The examples of a shard: (ids, start of the second segment).

    A header of 96 bytes (magic, then u32 version, bytes per token, length, vocabulary; u64 examples, tokens, checksum),
    `examples + 1` u64 offsets in tokens, `examples` u32 starts of second segments, and the tokens; little-endian.
    """
    with open(path, "rb") as file:
        data = file.read()
    version, width, _, _ = numpy.frombuffer(data, "<u4", 4, 8)
    examples, tokens = (int(count) for count in numpy.frombuffer(data, "<u8", 2, 24))
    at = HEADER + 8 * (examples + 1)
    end = at + 4 * examples + int(width) * tokens
    if data[:8] != b"ELECTRAS" or version != 1 or len(data) != end:
        raise ValueError(f"{path}: not a shard of format 1, or truncated")
    offsets = numpy.frombuffer(data, "<u8", examples + 1, HEADER)
    seconds = numpy.frombuffer(data, "<u4", examples, at)
    ids = numpy.frombuffer(data, f"<u{width}", tokens, at + 4 * examples)
    return [(ids[int(a) : int(b)], int(second)) for a, b, second in zip(offsets, offsets[1:], seconds)]


def predictions(tokens, length, rate):
    """k = max(1, min(N, round_half_even(tokens * rate))), in single precision; N = floor((rate + 0.005) * length)."""
    most = max(1, int((rate + 0.005) * length))
    return max(1, min(most, int(numpy.rint(numpy.float32(tokens) * numpy.float32(rate)))))


def draw(generator):
    """Distinct positions, uniformly, with NumPy's `generator`."""

    def choose(candidates, k, _):
        return numpy.sort(generator.permutation(candidates)[:k]), generator.random(k)

    return choose


def draw_held_out(candidates, k, number):
    """The positions of held-out example `number`: a Fisher-Yates shuffle with Lemire's bounded integers, then coins."""
    stream, items = Stream(MASKING, number), list(candidates)
    for at in range(k):
        other = at + stream.below(len(items) - at)
        items[at], items[other] = items[other], items[at]
    return numpy.sort(numpy.array(items[:k], dtype=numpy.int64)), numpy.array([stream.uniform() for _ in range(k)])


def held_out_uniforms(number, count):
    """Uniform numbers with 24 bits for sampling the replacements of held-out example `number`."""
    stream = Stream(SAMPLING, number)
    return numpy.array([(stream.u64() >> 40) / 2**24 for _ in range(count)])


class Stream:
    """ChaCha with 8 rounds; the key is (seed, purpose, epoch, example), and seed and epoch are 0 for held-out data."""

    def __init__(self, purpose, number):
        key = numpy.array([0, purpose, 0, number], dtype="<u8").tobytes()
        self.key = [int(word) for word in numpy.frombuffer(key, "<u4")]
        self.block, self.words = 0, []

    def u64(self):
        if not self.words:
            self.words = chacha8(self.key, self.block)
            self.block += 1
        low, high = self.words.pop(0), self.words.pop(0)
        return low | high << 32

    def below(self, n):
        while True:
            wide = self.u64() * n
            if wide % 2**64 >= 2**64 % n:
                return wide >> 64

    def uniform(self):
        return (self.u64() >> 11) / 2**53


def chacha8(key, block):
    """A block of 16 words; the nonce is 0."""
    start = [int(word) for word in numpy.frombuffer(b"expand 32-byte k", "<u4")] + key + [block, 0, 0, 0]
    state = list(start)

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            mixed = state[z] ^ state[x]
            state[z] = (mixed << turn | mixed >> (32 - turn)) & 0xFFFFFFFF

    for _ in range(4):
        for at in range(4):
            quarter(at, 4 + at, 8 + at, 12 + at)
        for at in range(4):
            quarter(at, 4 + (at + 1) % 4, 8 + (at + 2) % 4, 12 + (at + 3) % 4)
    return [(a + b) & 0xFFFFFFFF for a, b in zip(start, state)]
