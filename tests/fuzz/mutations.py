"""Ways to damage a file: bytes, JSON, and the JSON inside a safetensors file."""
from __future__ import annotations

import copy
import io
import json
import zipfile
from random import Random
from typing import Any

LEAVES: list[Any] = [
    None, True, False, -1, 0, 1, 2, 8, 64, 2**16, 2**24, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**30,
    -(2**63), 0.0, -0.5, 1e-45, 1e308, float("inf"), float("nan"), "", "x", "max", "histogram", "amax", "F32", "F64",
    "I64", "BF16", "F8_E4M3", "\x00", "\ud800", "x" * 1000, [], [0], [-1], [0, 2**62], [2**31] * 3, [1] * 70, {},
    {"float": "nan"}, {"array": "_calib_hist"}, {"tuple": []}, {"list": [{"tuple": [1]}]}, {"dict": {}}, [[[[]]]],
]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each node of nested dictionaries and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, each in inner for path in places(each, (*at, key)))]


def mutated_value(value: Any, random: Random) -> Any:
    """Nested dictionaries and lists with one node replaced, left out, doubled or under another name."""
    value = copy.deepcopy(value)
    path = random.choice(places(value))
    if not path:
        return random.choice(LEAVES) if random.random() < 0.2 else value
    parent, key = value, path[-1]
    for each in path[:-1]:
        parent = parent[each]
    action = random.randrange(5)
    if action == 0:
        del parent[key]
    elif action == 1 and isinstance(parent, dict):
        parent[str(random.choice(LEAVES))[:20]] = parent.pop(key)
    elif action == 2 and isinstance(parent[key], list):
        parent[key] = parent[key] * random.choice((2, 3, 40))
    elif action == 3 and isinstance(parent[key], int | float):
        parent[key] = parent[key] + random.choice((-1, 1, 0.5, 2**32, -(2**40)))
    else:
        parent[key] = random.choice(LEAVES)
    return value


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """Bytes flipped, cut off, cut out, repeated, or replaced by extreme ones."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(len(changed) + 1)
        count = random.choice((1, 2, 8, len(changed) // 2 + 1))
        action = random.randrange(6)
        if action == 0 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif action == 1:
            del changed[at:]
        elif action == 2:
            del changed[at:at + count]
        elif action == 3:
            changed[at:at] = changed[at:at + count]
        elif action == 4:
            changed[at:at + count] = random.choice((b"\xff", b"\x00", b"9", b"[", b"{")) * count
        else:
            changed[0:8] = random.choice((0, 1, len(changed), 2**31, 2**62, 2**64 - 1)).to_bytes(8, "little")
    return bytes(changed)


def mutated_text(data: bytes, random: Random) -> bytes:
    """A JSON file: as bytes, or with another value in it."""
    if random.random() < 0.3:
        return mutated_bytes(data, random)
    return json.dumps(mutated_value(json.loads(data), random)).encode("utf-8", "surrogatepass")


def mutated_safetensors(data: bytes, random: Random) -> bytes:
    """As bytes; or with another header, its length set right; or with another value in the JSON in its metadata."""
    if random.random() < 0.2:
        return mutated_bytes(data, random)
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    metadata = header.get("__metadata__", {})
    inner = [key for key, text in metadata.items() if text[:1] in "{["]
    if inner and random.random() < 0.6:
        key = random.choice(inner)
        metadata[key] = json.dumps(mutated_value(json.loads(metadata[key]), random))
    elif random.random() < 0.4 and body:
        body = bytearray(body)
        for _ in range(random.choice((1, 4, 64))):  # the arrays: signs, exponents
            body[random.randrange(len(body))] = random.choice((0, 0x7f, 0x80, 0xff))
        body = bytes(body)
    else:
        header = mutated_value(header, random)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + body


def mutated_zip(data: bytes, random: Random) -> bytes:
    """As bytes; or packed anew with a damaged member, or one that is left out, doubled, or says that it is huge."""
    if random.random() < 0.4:
        return mutated_bytes(data, random)
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", random.choice((0, 8))) as new:
        names = old.namelist()
        chosen = random.choice(names)
        for name in names:
            member = old.read(name)
            if name == chosen:
                member = random.choice((
                    lambda member: mutated_bytes(member, random), lambda member: b"", lambda member: member * 2,
                    lambda member: member.replace(b"(", b"(99999999999,", 1), lambda member: bytes(1 << 22),
                    lambda member: member[:random.randrange(len(member))], lambda member: member[:10] + b"(" * 1000,
                ))(member)
            if name != chosen or random.random() < 0.9:
                new.writestr(name, member)
    return made.getvalue()
