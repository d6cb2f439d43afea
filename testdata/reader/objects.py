"""docs/format.md, sections 2 to 8: the objects of a repository, down to chunks."""

import hmac
import re
import struct
import sys
from functools import lru_cache

import zstandard
from blake3 import blake3

from keyring import Keyring, gcm_open, hkdf
from wire import Refused, check

PACK, INDEX, SNAPSHOT, HEAD, MARK = 1, 2, 3, 4, 16
CHUNK_LIMIT = 24 << 20
NAMES = {
    "keyring": r"keyring/([0-9]{8})-([0-9a-f]{64})",
    "heads": r"heads/([0-9a-f]{32})/([0-9]{10})-([0-9a-f]{64})",
    "prune": r"prune/([0-9a-f]{64})",
}


class Store:
    """A repository in a folder."""

    def __init__(self, root):
        self.root = root

    def list(self, kind):
        """The names of that kind, taken apart; others are not part of the repository."""
        names = (p.relative_to(self.root).as_posix() for p in (self.root / kind).rglob("*") if p.is_file())
        return sorted(m.groups() for m in (re.fullmatch(NAMES[kind], name) for name in names) if m)

    def read(self, name, limit):
        path = self.root / name
        check(path.is_file(), f"{name} is missing")
        check(path.stat().st_size <= limit, f"{name} is too long")
        data = path.read_bytes()
        check(blake3(data).hexdigest() == name[-64:], f"{name} does not have the hash of its name")
        return data


def unzstd(data, length):
    """One frame that holds so many bytes; taken in parts, so that it cannot grow far beyond them."""
    unpacker, out = zstandard.ZstdDecompressor(max_window_size=32 << 20).decompressobj(), b""
    try:
        for at in range(0, len(data), 4096):
            check(not unpacker.eof and len(out) <= length, "a compressed length")
            out += unpacker.decompress(data[at : at + 4096])
    except zstandard.ZstdError as error:
        raise Refused("a frame that zstd does not read") from error
    check(unpacker.eof and not unpacker.unused_data and len(out) == length, "a compressed length")
    return out


def pack_name(digest):
    return f"packs/{digest.hex()[:2]}/{digest.hex()}"


def nonce(number):
    return bytes(4) + struct.pack(">Q", number)


class Header:
    """Section 4.1: the clear header of an object, and the keys that it leads to."""

    def __init__(self, repository, data, kind):
        check(data[:8] == b"heirloom", "another magic")
        check(data[8:9] == b"\1", "another version: too old a program")
        check(data[9:10] == bytes([kind]), "another kind of object")
        sealed = int.from_bytes(data[10:12], "little")
        check(sealed <= 8192 and 92 + sealed <= len(data), "the length of the sealed run key")
        check(data[12:28] == repository, "an object of another repository")
        self.bytes, self.salt, self.commitment = data[: 92 + sealed], data[28:60], data[60:92]
        self.run_key = data[92 : 92 + sealed]
        self.epoch = int.from_bytes(self.run_key[:4], "big")


def keyrings(store):
    """The name of the newest keyring, and the bytes of all by name."""
    found = store.list("keyring")
    check(found, "no keyring")
    newest = [name for name in found if name[0] == found[-1][0]]
    check(len(newest) == 1, "two keyrings have the same number")
    return newest[0], {name: store.read("keyring/{}-{}".format(*name), 4 << 20) for name in found}


class Repository:
    """Section 3: from a way in to chunks."""

    def __init__(self, store, way, keyring_schema, engine_schema):
        self.store, self.schema = store, engine_schema
        newest, data = keyrings(store)
        self.keyring = Keyring(keyring_schema, data.pop(newest), way)
        check(self.keyring.number == int(newest[0]), "a keyring's number is not that of its name")
        for earlier in data.values():
            self.keyring.check_follows(earlier)
        self.derived = blake3(
            self.keyring.chunk_id_key, derive_key_context="heirloom/v1 2026 conversation and segment keys"
        ).digest()
        self.marked, self.rows, self.packs = self.marked_objects(), {}, {}

    # Sections 4 and 5: sealed messages.

    def object_keys(self, kind, run_key, salt, commitment):
        info = b"heirloom/v1/object" + bytes([kind]) + self.keyring.repository
        okm = hkdf(salt, self.keyring.run_key(run_key), info, 128)
        check(hmac.compare_digest(okm[96:], commitment), "a key commitment")
        return okm[:32], okm[32:64], okm[64:96]

    def message(self, name, kind, message, length=None):
        data = self.store.read(name, 256 << 20)
        check(length in (None, len(data)), f"{name} has another length")
        try:
            header = Header(self.keyring.repository, data, kind)
            content, _, _ = self.object_keys(kind, header.run_key, header.salt, header.commitment)
            plain = gcm_open(content, nonce(0), header.bytes, data[len(header.bytes) :], "the body")
            check(len(plain) >= 9, "lengths of the body")
            codec, length, stored = struct.unpack_from("<BII", plain)
            check(codec in (0, 1) and 9 + stored <= len(plain) and length <= 192 << 20, "lengths of the body")
            check(not any(plain[9 + stored :]), "padding that is not zero")
            body = plain[9 : 9 + stored]
            body = unzstd(body, length) if codec else body
            check(len(body) == length, "the length of the message")
            record = self.schema.decode_canonical(message, body)
            self.keyring.check_writer(record, kind, header.epoch)
            if kind in (HEAD, SNAPSHOT):
                known = (record.keyring_number, record.keyring_hash)
                newest = known == (self.keyring.number, self.keyring.hash)
                check(newest or known[0] < self.keyring.number, "the keyring that its writer knew is missing")
        except Refused as refused:
            raise Refused(f"{name}: {refused}") from refused
        return record

    def marked_objects(self):
        """Section 14: what a prune mark names that a device of this repository wrote."""
        marked = set()
        for (digest,) in self.store.list("prune"):
            try:
                mark = self.schema.decode_canonical("PruneMark", self.store.read(f"prune/{digest}", 256 << 20))
                self.keyring.check_writer(mark, MARK, int.from_bytes(mark.sealed_run_key[:4], "big"))
            except Refused as refused:
                print(f"passed over: prune/{digest}: {refused}", file=sys.stderr)
                continue
            marked.update(mark.objects)
        return marked

    def lineages(self):
        """The heads of each lineage, newest first."""
        found = {}
        for lineage, sequence, digest in self.store.list("heads"):
            found.setdefault(lineage, {}).setdefault(int(sequence), []).append(digest)
        check(found, "no head")
        for lineage, listed in sorted(found.items()):
            sequence = max(listed)
            check(len(listed[sequence]) == 1, f"lineage {lineage} has two heads {sequence}")
            digest, heads = listed[sequence][0], []
            while True:
                name = f"heads/{lineage}/{sequence:010}-{digest}"
                if heads and digest not in listed.get(sequence, ()):
                    check(name in self.marked, f"{name} is missing")
                    break
                heads.append(self.message(name, HEAD, "Head"))
                told = (heads[-1].lineage.hex(), heads[-1].sequence)
                check(told == (lineage, sequence), f"{name} is another head")
                check((sequence == 1) == (not heads[-1].parent), f"{name} has another parent")
                if sequence <= heads[0].oldest or sequence == 1:
                    break
                sequence, digest = sequence - 1, heads[-1].parent.hex()
            yield heads

    def snapshot(self, head):
        name = f"snapshots/{head.snapshot.hash.hex()}"
        snapshot = self.message(name, SNAPSHOT, "Snapshot", head.snapshot.bytes)
        check(snapshot.lineage == head.lineage, f"{name} is of another lineage")
        return snapshot

    def snapshots(self, chosen):
        """The newest snapshot of each lineage, by (created_at, lineage); or the one whose name begins so."""
        heads = list(self.lineages())
        if chosen:
            heads = [[head for head in line if head.snapshot.hash.hex().startswith(chosen)] for line in heads]
            heads = [line for line in heads if line][:1]
            check(heads, "no such snapshot")
        found = [self.snapshot(line[0]) for line in heads]
        return sorted(found, key=lambda snapshot: (snapshot.created_at, snapshot.lineage))

    # Section 6: the index.

    def read_index(self, ref):
        index = self.message(f"index/{ref.hash.hex()}", INDEX, "Index", ref.bytes)
        for pack in index.packs:
            sizes = [len(pack.hash), len(pack.salt), len(pack.commitment)]
            fits = pack.payload_end <= pack.bytes <= 8 << 20 and pack.run_key < len(index.run_keys)
            check(fits and sizes == [32] * 3 and len(pack.next) in (0, 32), "a pack in an index")
            pack["sealed_run_key"] = index.run_keys[pack.run_key]
            if pack.hash not in self.packs or pack.next:
                self.packs[pack.hash] = pack
        check(len(index.rows) % 40 == 0, "rows of an index")
        before = b""
        for at in range(0, len(index.rows), 40):
            key, *row, reserved = struct.unpack_from("<16s5IBBH", index.rows, at)
            check(key > before and row[0] < len(index.packs), "a row of an index")
            check(max(row[2:4]) <= CHUNK_LIMIT and row[5] < 2 and 1 <= row[6] <= 7 and not reserved, "a row of an index")
            digest = index.packs[row[0]].hash
            if key not in self.rows or pack_name(digest) not in self.marked:
                self.rows[key] = (digest, *row[1:])
            before = key

    # Sections 7 and 8: packs and chunks.

    @lru_cache(maxsize=8)
    def pack(self, digest):
        """A whole pack with its key and the entries of its directory, everything in it checked."""
        listed = self.packs.get(digest)
        check(listed is not None, "a pack that no index lists")
        name = pack_name(digest)
        data = self.store.read(name, 8 << 20)
        header = Header(self.keyring.repository, data, PACK)
        start, end = len(header.bytes), listed.payload_end
        check(len(data) == listed.bytes, f"{name} has another length")
        told = (listed.salt, listed.commitment, listed.sealed_run_key)
        check((header.salt, header.commitment, header.run_key) == told, f"{name} has another header")
        content, directory_key, padding_key = self.object_keys(PACK, header.run_key, header.salt, header.commitment)
        directory = len(data) - 4 - int.from_bytes(data[-4:], "little")
        check(start <= end <= directory, f"{name} has another layout")
        plain = gcm_open(directory_key, nonce(2**64 - 1), header.bytes, data[directory:-4], name)
        check(len(plain) >= 44 and len(plain) % 1024 == 0, "the length of a directory")
        previous, open_bytes, payload_end, count = struct.unpack_from("<32sIII", plain)
        check(payload_end == end and 44 + 48 * count <= len(plain), "a directory")
        check((previous == bytes(32)) == (open_bytes == 0), "a directory")
        check(not any(plain[44 + 48 * count :]), "the end of a directory")
        padding = blake3(b"", key=padding_key).digest(length=directory - end)
        check(data[end:directory] == padding, f"{name} has another padding")
        entries = [struct.unpack_from("<32sIIIBBH", plain, 44 + 48 * i) for i in range(count)]
        return data, start, end, content, entries

    @lru_cache(maxsize=64)
    def chunk(self, chunk_id, kind):
        """The plaintext of a chunk."""
        check(len(chunk_id) == 32 and chunk_id[:16] in self.rows, f"chunk {chunk_id.hex()} is in no index")
        digest, offset, sealed, length, ordinal, codec, row_kind = self.rows[chunk_id[:16]]
        check(kind == row_kind, "a chunk of another kind")
        data, start, end, key, entries = self.pack(digest)
        listed = (chunk_id, offset, sealed, length, codec, kind, 0)
        check(ordinal < len(entries) and entries[ordinal] == listed, "the index differs from the directory")
        check(start <= offset < end, "an entry outside its pack")
        body = data[offset : min(offset + sealed, end)]
        parts = 1
        while len(body) < sealed:
            digest = self.packs[digest].next
            check(digest, "an entry that leaves its pack")
            data, start, end, _, _ = self.pack(digest)
            part = data[start : min(start + sealed - len(body), end)]
            parts += 1
            check(part and parts <= 64, "the parts of an entry")
            body += part
        aad = struct.pack("<8s4BI", b"hl/entry", 1, codec, kind, 0, length) + self.keyring.repository + chunk_id
        plain = gcm_open(key, nonce(ordinal), aad, body, f"chunk {chunk_id.hex()}")
        plain = unzstd(plain, length) if codec else plain
        check(len(plain) == length, "the length of a chunk")
        check(blake3(plain, key=self.keyring.chunk_id_key).digest() == chunk_id, "the id of a chunk")
        return plain

    def keyed(self, purpose, data):
        return blake3(bytes([purpose]) + data, key=self.derived).digest()
