"""Protobuf by the published schema: just enough to read records, and to tell whether bytes are canonical."""

import re
import struct


class Refused(Exception):
    """The format forbids to use this."""


def check(holds, words):
    if not holds:
        raise Refused(words)


class Schema:
    """The messages of a .proto file."""

    def __init__(self, path):
        text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
        enums = set(re.findall(r"enum (\w+) \{", text))
        self.messages = {}
        for name, body in re.findall(r"message (\w+) \{([^}]*)\}", text):
            fields = re.findall(r"(repeated |optional |)(\w+) (\w+) = (\d+);", body)
            self.messages[name] = {
                int(number): (field, "uint32" if kind in enums else kind, label.strip())
                for label, kind, field, number in fields
            }

    def decode(self, message, data):
        """Reads a record; fields that the schema does not have are ignored."""
        record = Record(self, message)
        at = 0
        while at < len(data):
            tag, at = varint(data, at)
            value, at = wire_value(data, at, tag & 7)
            if tag >> 3 in self.messages[message]:
                record.put(*self.messages[message][tag >> 3], tag & 7, value)
        return record

    def decode_canonical(self, message, data):
        """Reads a message that has to be in its canonical bytes."""
        record = self.decode(message, data)
        check(record.encode() == data, f"a message {message} that is not canonical")
        return record


DEFAULTS = {"bytes": b"", "string": "", "bool": False, "double": 0.0}


class Record(dict):
    """The fields of a message that are there; as attributes all of them, with defaults."""

    def __init__(self, schema, message):
        super().__init__()
        self.schema, self.message = schema, message

    def __getattr__(self, name):
        if name in self:
            return self[name]
        for field, kind, label in self.schema.messages[self.message].values():
            if field == name:
                return [] if label == "repeated" else None if label == "optional" else self.default(kind)
        raise AttributeError(name)

    def default(self, kind):
        return None if kind in self.schema.messages else DEFAULTS.get(kind, 0)

    def put(self, name, kind, label, wire, value):
        expected = 1 if kind == "double" else 0 if kind == "bool" or "int" in kind else 2
        check(wire == expected, f"{self.message}.{name} has another wire type")
        if kind in self.schema.messages:
            value = self.schema.decode(kind, value)
        elif kind == "string":
            try:
                value = value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise Refused(f"{self.message}.{name} is not UTF-8") from error
        elif kind == "bool":
            value = value != 0
        elif kind == "double":
            value = struct.unpack("<d", value)[0]
        elif kind == "sint64":
            value = (value >> 1) ^ -(value & 1)
        elif kind == "int64":
            value -= (value >> 63) << 64
        elif kind == "uint32":
            value &= 0xFFFFFFFF
        if label == "repeated":
            self.setdefault(name, []).append(value)
        elif label == "optional" or value != self.default(kind):
            self[name] = value
        else:
            self.pop(name, None)

    def encode(self):
        out = bytearray()
        for number, (name, kind, label) in sorted(self.schema.messages[self.message].items()):
            if name not in self:
                continue
            for value in self[name] if label == "repeated" else [self[name]]:
                if kind in self.schema.messages:
                    value = value.encode()
                elif kind == "string":
                    value = value.encode("utf-8")
                if isinstance(value, bytes):
                    out += number_bytes(number << 3 | 2) + number_bytes(len(value)) + value
                elif kind == "double":
                    out += number_bytes(number << 3 | 1) + struct.pack("<d", value)
                else:
                    value = (value << 1) ^ (value >> 63) if kind == "sint64" else int(value)
                    out += number_bytes(number << 3) + number_bytes(value & 0xFFFFFFFFFFFFFFFF)
        return bytes(out)


def varint(data, at):
    value = 0
    for place in range(10):
        check(at < len(data), "a message that ends too early")
        value |= (data[at] & 0x7F) << 7 * place
        at += 1
        if data[at - 1] < 0x80:
            check(value < 1 << 64, "a number above 64 bits")
            return value, at
    raise Refused("a number of more than 10 bytes")


def number_bytes(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def wire_value(data, at, wire):
    if wire == 0:
        return varint(data, at)
    check(wire in (1, 2, 5), "an unknown wire type")
    length, at = varint(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
    check(length <= len(data) - at, "a message that ends too early")
    return data[at : at + length], at + length


def frames(data):
    """Records, each behind its length."""
    at = 0
    while at < len(data):
        start = at
        length, at = varint(data, at)
        check(at - start <= 4 and length <= 16 << 20, "a record above 16 MiB")
        check(length <= len(data) - at, "a record that ends too early")
        yield data[at : at + length]
        at += length
