"""Small valid, damaged and malicious files for the readers of other frameworks' weights.

`python3 make.py` writes pickle/, bundle/ and safetensors/ next to this file. It needs only Python, and shares no code with
the readers. `tests/it/corpus.rs` has the expected result for each file; `tests/it/fuzz.rs` mutates the files.
"""

import json
import os
import struct
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
TERABYTE = 1 << 40
FLOATS = struct.pack("<6f", 1, 2, 3, 4, 5, 6)
NAN = struct.pack("<6f", 1, float("nan"), 3, 4, 5, 6)


def save(path, content):
    path = os.path.join(HERE, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


# --- ZIP and pickle ---------------------------------------------------------------------------------------------


def archive(members, wide=False, at=None, **changes):
    """A ZIP as written by PyTorch. `changes` override directory entries: NAME=dict(size, stored, method, flags).

    With `wide` all sizes are in ZIP64 fields; with `at` all entries point to that member.
    """
    body, directory, places = b"", b"", []
    for name, content in members:
        places.append((name, len(body)))
        path = f"x/{name}".encode()
        body += b"PK\3\4" + struct.pack("<5H3I2H", 0, 0, 0, 0, 0, zlib.crc32(content), len(content), len(content), len(path), 0)
        body += path + content
    for (name, content), (_, header) in zip(members, places):
        path = f"x/{name}".encode()
        change = changes.get(name.replace(".", "_").replace("/", "_"), {})
        size, stored = change.get("size", len(content)), change.get("stored", change.get("size", len(content)))
        crc = change.get("crc", zlib.crc32(content))
        if at and name.startswith("data/"):
            header = dict(places)[at]
        extra = b""
        if wide or max(size, stored) >= 0xFFFFFFFF:
            extra = struct.pack("<2H3Q", 1, 24, size, stored, header)
            size = stored = header = 0xFFFFFFFF
        fields = (0, 0, change.get("flags", 0), change.get("method", 0), 0, 0)
        directory += b"PK\1\2" + struct.pack("<6H3I5H2I", *fields, crc, stored, size, len(path), len(extra), 0, 0, 0, 0, header)
        directory += path + extra
    count, size, offset = len(members), len(directory), len(body)
    end = b""
    if wide:
        end += b"PK\6\6" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, count, count, size, offset)
        end += b"PK\6\7" + struct.pack("<IQI", 0, offset + size, 1)
        count, size, offset = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
    return body + directory + end + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, count, count, size, offset, 0)


def text(value):
    value = value.encode()
    return b"X" + struct.pack("<I", len(value)) + value


def number(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    width = (value.bit_length() + 8) // 8
    return b"\x8a" + bytes([width]) + value.to_bytes(width, "little", signed=True)


def storage(key="0", elements=6, kind="FloatStorage"):
    return b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + number(elements) + b"tQ"


def tensor(shape=(2, 3), strides=(3, 1), offset=0, **of):
    sizes = [b"(" + b"".join(map(number, values)) + b"t" for values in (shape, strides)]
    call = storage(**of) + number(offset) + sizes[0] + sizes[1] + b"\x89" + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + call + b"tR"


def program(*items):
    """A dict; items are keys and values, each as opcodes."""
    return b"\x80\x02}(" + b"".join(items) + b"u."


W = text("w")
GOOD = program(W, tensor())


def bin_file(code=GOOD, data=FLOATS, order=b"little", more=(), **changes):
    members = [("data.pkl", code), ("byteorder", order), ("data/0", data), *more, ("version", b"3\n")]
    return archive(members, **changes)


def legacy_file(code=None, elements=6, data=FLOATS, keys=("0",), little=b"\x88", version=1001):
    """A file as written before PyTorch 1.6; each storage has its number of elements before its bytes."""
    code = GOOD.replace(b"tQ", b"NtQ") if code is None else code
    system = b"\x80\x02}(" + text("little_endian") + little + text("protocol_version") + number(1001) + b"u."
    body = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02" + number(version) + b"."
    body += system + code + b"\x80\x02](" + b"".join(map(text, keys)) + b"e."
    return body + struct.pack("<q", elements) + data


def pickles():
    good = bin_file()
    old = legacy_file()
    # The strings of Python 2, and the function of PyTorch before 0.4.
    python2 = GOOD.replace(W, b"U\1w", 1).replace(b"_rebuild_tensor_v2", b"_rebuild_tensor")
    part = GOOD.replace(b"tQ", b"(" + text("1") + number(0) + number(6) + b"ttQ")
    attack = b"\x80\x02cposix\nsystem\n" + text("echo hi") + b"\x85R."
    page = bytes(4096)
    many = program(text("w0"), tensor((1024,), (1,), elements=1024) + b"q\1", *(text(f"w{i}") + b"h\1" for i in range(1, 100)))
    keys = [f"data/{i}" for i in range(100)]
    each = program(*(text(f"w{i}") + tensor((1024,), (1,), key=str(i), elements=1024) for i in range(100)))
    one = [("data.pkl", each), ("data/0", page), *((key, b"") for key in keys[1:])]
    claims = {key.replace("/", "_"): dict(size=4096, crc=zlib.crc32(page)) for key in keys[1:]}
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packed.compress(bytes(1 << 16)) + packed.flush()
    flipped = bytearray(good)
    flipped[good.index(FLOATS) + 5] ^= 1
    tied = program(W, tensor() + b"q\1", text("head"), b"h\1", text("tail"), tensor((3,), (1,), 3))
    files = {
        "ok-plain": good,
        "ok-tied": bin_file(tied),
        "ok-transposed": bin_file(program(W, tensor((3, 2), (1, 3)))),
        "ok-zip64": bin_file(wide=True),
        "ok-nan": bin_file(data=NAN),
        "ok-empty": bin_file(program(W, tensor((0, 3), (3, 1), elements=0)), b""),
        # One tensor with a hundred names: 400 kB from 8.
        "many-names": bin_file(many, page),
        # A hundred members at one offset.
        "overlapping-members": archive(one, at="data/0", **claims),
        "long-name": bin_file(program(text("w" * 600), tensor())),
        "long-key": bin_file(program(W, tensor(key="0" * 600))),
        "foreign-opcode": bin_file(b"\x80\x02(" + text("echo hi") + b"iposix\nsystem\n."),
        "foreign-object": bin_file(b"\x80\x02ccollections\nOrderedDict\n)\x81."),
        "foreign-global": bin_file(attack),
        "compressed": bin_file(data=packed, data_0=dict(size=1 << 16, stored=len(packed), method=8)),
        "encrypted": bin_file(data_0=dict(flags=1)),
        "claims-a-terabyte": bin_file(data_0=dict(size=TERABYTE)),
        "claims-more-stored": bin_file(data_0=dict(size=TERABYTE, stored=24)),
        "storage-claims-a-terabyte": bin_file(program(W, tensor((1 << 38,), (1,), elements=1 << 38))),
        "shape-claims-a-terabyte": bin_file(program(W, tensor((1 << 38,), (0,)))),
        "shape-overflows": bin_file(program(W, tensor((1 << 62, 1 << 62), (1, 1)))),
        "view-exceeds-storage": bin_file(program(W, tensor(offset=1))),
        "negative-size": bin_file(program(W, tensor((-1,), (1,)))),
        "storage-of-two-kinds": bin_file(program(W, tensor(), text("i"), tensor(kind="IntStorage"))),
        "truncated": good[:-1],
        "truncated-half": good[: len(good) // 2],
        "truncated-storage": good[: good.index(FLOATS) + 9],
        "flipped-bit": bytes(flipped),
        "big-endian": bin_file(order=b"big"),
        "no-storage": bin_file(program(W, tensor(key="7"))),
        "not-a-dict": bin_file(b"\x80\x02]."),
        "not-a-tensor": bin_file(program(text("step"), number(7))),
        "key-not-a-string": bin_file(program(number(7), tensor())),
        # A training checkpoint: the weights in one item, besides numbers and text.
        "ok-checkpoint": bin_file(
            program(
                text("epoch"), number(3), text("loss"), b"G" + struct.pack(">d", 0.5), text("state_dict"), b"}(" + W + tensor() + b"u"
            )
        ),
        "no-stop": bin_file(GOOD[:-1]),
        "empty-stack": bin_file(b"\x80\x02\x86."),
        "empty-memo": bin_file(b"\x80\x02h\7."),
        "duplicate-member": bin_file(more=[("data/0", FLOATS)]),
        "two-pickles": bin_file(more=[("y/data.pkl", GOOD)]),
        "ok-legacy": old,
        "ok-legacy-python-2": legacy_file(python2),
        "legacy-magic-alone": b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
        "legacy-other-pickle": b"\x80\x02K\1.",
        "legacy-version": legacy_file(version=1002),
        "legacy-big-endian": legacy_file(little=b"\x89"),
        "legacy-claims-a-terabyte": legacy_file(elements=TERABYTE),
        "legacy-other-size": legacy_file(elements=5),
        "legacy-negative-size": legacy_file(elements=-1),
        "legacy-truncated": old[:-1],
        "legacy-foreign-global": legacy_file(attack),
        "legacy-part-of-a-storage": legacy_file(part),
        "legacy-unknown-storage": legacy_file(keys=("7",)),
        "legacy-no-storage": legacy_file(keys=(), data=b""),
        "page": b"<!DOCTYPE html><html></html>",
        "safetensors": struct.pack("<Q", 2) + b"{}",
        "empty": b"",
    }
    for name, content in files.items():
        save(f"pickle/{name}.bin", content)


# --- TensorFlow's tables ----------------------------------------------------------------------------------------


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(key, value):
    if isinstance(value, bytes):
        return varint(key << 3 | 2) + varint(len(value)) + value
    return varint(key << 3) + varint(value)


HEADER = field(1, 1)


def entry(data=FLOATS, dtype=1, shape=(2, 3), offset=0, size=None, crc=None, more=b""):
    dimensions = b"".join(field(2, field(1, d)) for d in shape)
    size, crc = len(data) if size is None else size, crc32c(data) if crc is None else crc
    start = field(1, dtype) + field(2, dimensions) + field(4, offset) + field(5, size)
    return start + varint(6 << 3 | 5) + struct.pack("<I", crc) + more


def block(rows):
    """Rows are (shared prefix length, rest of the key, value)."""
    content = b"".join(varint(shared) + varint(len(key)) + varint(len(value)) + key + value for shared, key, value in rows)
    return content + struct.pack("<2I", 0, 1)


def table(*blocks, handles=None, kind=0):
    """A table of data blocks; `handles` are the numbers of the blocks in the index block."""
    file, places = b"", []

    def append(content):
        nonlocal file
        place = varint(len(file)) + varint(len(content))
        file += content + bytes([kind])
        file += struct.pack("<I", crc32c(content + bytes([kind])))
        return place

    places = [append(content) for content in blocks]
    numbers = range(len(places)) if handles is None else handles
    index = append(block([(0, b"%06d" % row, places[i]) for row, i in enumerate(numbers)]))
    meta = append(block([]))
    footer = (meta + index).ljust(40, b"\0")
    return file + footer + struct.pack("<Q", 0xDB4775248B80FB57)


def index_of(*entries, header=HEADER):
    return table(block([(0, b"", header), *((0, name.encode(), value) for name, value in entries)]))


def bundles():
    good = index_of(("w", entry()))
    flipped = bytearray(good)
    flipped[20] ^= 1
    rows = [(0, b"", HEADER), (0, b"a", entry())] + [(1 + i, b"a", b"") for i in range(900)]
    second = FLOATS[4:]
    two = [("a", entry()), ("b", entry(second, shape=(5,), offset=4))]
    files = {
        "ok-plain": (good, FLOATS),
        "ok-nan": (index_of(("w", entry(NAN))), NAN),
        "ok-two": (index_of(("a", entry()), ("b", entry(shape=(6,), offset=24))), FLOATS * 2),
        "ok-blocks": (table(block([(0, b"", HEADER)]), block([(0, b"w", entry())])), FLOATS),
        # Two hundred handles of one empty block.
        "repeated-block": (table(block([(0, b"", HEADER)]), block([]), handles=[0] + [1] * 200), FLOATS),
        # Each name is the previous one plus a byte: 400 kB from 4.
        "growing-names": (table(block(rows)), FLOATS),
        "overlapping-tensors": (index_of(*two), FLOATS),
        "many-overlapping-tensors": (index_of(*((f"w{i:02}", entry()) for i in range(50))), FLOATS),
        "claims-a-terabyte": (index_of(("w", entry(shape=(1 << 38,), size=TERABYTE))), FLOATS),
        "wrong-shape": (index_of(("w", entry(shape=(1 << 38,)))), FLOATS),
        "shape-overflows": (index_of(("w", entry(shape=(1 << 62, 1 << 62)))), FLOATS),
        "negative-size": (index_of(("w", entry(shape=(-6,), size=-24))), FLOATS),
        "negative-offset": (index_of(("w", entry(offset=-8))), FLOATS),
        "offset-overflows": (index_of(("w", entry(offset=(1 << 63) - 1))), FLOATS),
        "truncated-index": (good[:-1], FLOATS),
        "truncated-footer": (good[-40:], FLOATS),
        "truncated-data": (good, FLOATS[:-1]),
        "flipped-index": (bytes(flipped), FLOATS),
        "flipped-data": (good, FLOATS[:-1] + b"\1"),
        "no-data": (good, None),
        "compressed": (table(block([(0, b"", HEADER), (0, b"w", entry())]), kind=1), FLOATS),
        "big-endian": (index_of(("w", entry()), header=HEADER + field(2, 1)), FLOATS),
        "no-header": (table(block([(0, b"w", entry())])), FLOATS),
        "unsorted-names": (index_of(("w", entry()), ("a", entry(offset=24))), FLOATS * 2),
        "long-shared-prefix": (table(block([(0, b"", HEADER), (7, b"w", entry())])), FLOATS),
        "too-many-restarts": (table(struct.pack("<I", 1 << 30)), FLOATS),
        "partitioned": (index_of(("w", entry(more=field(7, b"")))), FLOATS),
        "string-tensor": (index_of(("w", entry(dtype=7))), FLOATS),
        "invalid-entry": (index_of(("w", b"\xff" * 12)), FLOATS),
        "other-shard": (index_of(("w", entry(more=field(3, 4)))), FLOATS),
    }
    for name, (index, data) in files.items():
        save(f"bundle/{name}.index", index)
        if data is not None:
            save(f"bundle/{name}.data-00000-of-00001", data)


# --- safetensors ------------------------------------------------------------------------------------------------


def safetensors(header, data=FLOATS, length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def view(kind="F32", shape=(2, 3), begin=0, end=24):
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


def safetensors_files():
    good = safetensors({"__metadata__": {"format": "pt"}, "w": view()})
    files = {
        "ok-plain": good,
        "ok-no-metadata": safetensors({"w": view()}),
        "ok-two": safetensors({"a": view(), "b": view("BF16", (4,), 24, 32)}, FLOATS + bytes(8)),
        "ok-nan": safetensors({"w": view()}, NAN),
        "ok-empty": safetensors({"w": view(shape=(0, 3), end=0)}, b""),
        "header-claims-a-terabyte": safetensors({"w": view()}, length=TERABYTE),
        "header-claims-all": safetensors({"w": view()}, length=(1 << 64) - 1),
        "claims-a-terabyte": safetensors({"w": view(shape=(1 << 38,), end=TERABYTE)}),
        "wrong-shape": safetensors({"w": view(shape=(1 << 38,))}),
        "shape-overflows": safetensors({"w": view(shape=(1 << 62, 1 << 62))}),
        "empty-and-huge": safetensors({"w": view(shape=(1 << 63, 0), end=0)}, b""),
        "overlapping-tensors": safetensors({"a": view(), "b": view()}),
        "gap": safetensors({"a": view(begin=8, end=32)}, bytes(32)),
        "end-before-begin": safetensors({"w": view(begin=24, end=0)}),
        "more-data": safetensors({"w": view()}, FLOATS + b"\0"),
        "truncated": good[:-1],
        "truncated-header": good[:40],
        "truncated-length": good[:7],
        "not-json": safetensors(b"w" * 40),
        "nested": safetensors(b'{"w":' + b"[" * 2000),
        "not-utf8": safetensors(b'{"\xff\xfe":1}'),
        "unsupported-kind": safetensors({"w": view("F8_E4M3", (24,))}),
        "unknown-kind": safetensors({"w": view("Q4", (24,))}),
        "negative-size": safetensors({"w": view(shape=(-2, -3))}),
    }
    for name, content in files.items():
        save(f"safetensors/{name}.safetensors", content)


pickles()
bundles()
safetensors_files()
