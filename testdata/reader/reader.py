"""An independent reader: prints what a repository holds, in the canonical form of docs/archive-form.md.

Written from docs/format.md, docs/keyring.md, docs/archive-form.md and the published schemas alone.
Usage: reader.py STORE KEY-FILE SCHEMAS [SNAPSHOT] [--passkey CREDENTIAL-ID]; SCHEMAS is the folder `crates`.
KEY-FILE holds a recovery key, or with --passkey what that passkey gave for the PRF input, in 64 hex digits.
`passkeys.py` shows which passkeys there are, before anything is opened.
"""

import argparse
import hashlib
import json
import struct
import sys
from pathlib import Path

from keyring import PasskeyOutput, RecoveryKey
from objects import Repository, Store
from wire import Record, Refused, Schema, check, frames

SEGMENT, TREE, PARTICIPANTS, PIECE, LIST = 1, 3, 4, 5, 6
PIECE_BYTES = 1 << 20


class History:
    """One snapshot, or the newest ones of all lineages, merged (format.md, 9 to 12)."""

    def __init__(self, repository, records, chosen):
        self.repository, self.records = repository, records
        self.snapshots = repository.snapshots(chosen)
        for ref in {ref.hash: ref for snapshot in self.snapshots for ref in snapshot.indexes}.values():
            repository.read_index(ref)

    def participants(self):
        latest = {}
        for snapshot in self.snapshots:
            joined = b"".join(self.repository.chunk(chunk, PARTICIPANTS) for chunk in snapshot.participants)
            for frame in frames(joined):
                participant = self.records.decode("Participant", frame)
                latest[participant.id] = participant
        return latest.values()

    def conversations(self):
        """Each `Conversation` with the trees that hold its segments."""
        trees = {}
        for snapshot in self.snapshots:
            keys = [entry.key for entry in snapshot.conversations]
            check(keys == sorted(set(keys)), "conversations out of order")
            for entry in snapshot.conversations:
                trees.setdefault(entry.key, {}).pop(entry.tree, None)
                trees[entry.key][entry.tree] = None
        for key, ids in trees.items():
            parsed = []
            for tree_id in ids:
                plain = self.repository.chunk(tree_id, TREE)
                parsed.append(self.repository.schema.decode_canonical("ConversationTree", plain))
            conversation = self.records.decode("Conversation", parsed[-1].conversation)
            check(self.repository.keyed(1, conversation.id.encode())[:16] == key, "a conversation of another key")
            yield conversation, parsed

    def messages(self, trees):
        added = {}
        for segment in (segment for tree in trees for segment in tree.segments):
            known = added.get(segment.id)
            if known is None or segment.added_at < known.added_at:
                added[segment.id] = segment
        versions = {}
        for segment in sorted(added.values(), key=lambda s: (s.first_at, s.last_at, s.id)):
            for frame in frames(self.repository.chunk(segment.id, SEGMENT)):
                message = self.records.decode("Message", frame)
                same = (message.sent_at, message.id, message.author)
                complete = all(attachment.presence == 0 for attachment in message.attachments)
                versions.setdefault(same, []).append(((complete, segment.added_at), message))
        return [self.one(found) for found in versions.values()]

    def one(self, versions):
        """Of versions of one message the one that counts, with the texts of the others."""
        *earlier, (_, newest) = sorted(versions, key=lambda version: version[0])
        for _, other in earlier:
            known = {edit.before for edit in newest.edits if edit.before_known}
            if other.text and other.text != newest.text and other.text not in known:
                edit = Record(self.records, "Edit")
                edit.update(before=other.text, before_known=True)
                newest["edits"] = [*newest.edits, edit]
        return newest

    def content(self, encoded):
        """Length and SHA-256 of an attachment's content (format.md, 10)."""
        content = self.repository.schema.decode_canonical("Content", encoded)
        check(len(content.lists) % 32 == 0, "a list of pieces")
        ids = content.pieces + b"".join(
            self.repository.chunk(content.lists[at : at + 32], LIST) for at in range(0, len(content.lists), 32)
        )
        check(len(ids) == 32 * -(-content.bytes // PIECE_BYTES), "the number of pieces")
        digest, left = hashlib.sha256(), content.bytes
        for at in range(0, len(ids), 32):
            piece = self.repository.chunk(ids[at : at + 32], PIECE)
            check(len(piece) == min(left, PIECE_BYTES), "the length of a piece")
            digest.update(piece)
            left -= len(piece)
        length = {"bytes": content.bytes} if content.bytes else {}
        return {**length, "sha256": digest.hexdigest()}

    def canonical(self):
        """The lines of the canonical form (archive-form.md)."""
        for participant in sorted(self.participants(), key=lambda p: p.id.encode()):
            yield line("participant", self.plain(participant))
        for conversation, trees in sorted(self.conversations(), key=lambda c: c[0].id.encode()):
            yield line("conversation", self.plain(conversation))
            messages = [(m.sent_at, m.id.encode(), line("message", self.plain(m))) for m in self.messages(trees)]
            yield from (text for _, _, text in sorted(messages, key=lambda m: (m[0], m[1], m[2].encode())))

    def plain(self, value):
        if isinstance(value, list):
            return [self.plain(element) for element in value]
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, float):
            return struct.pack(">d", value).hex()
        if not isinstance(value, Record):
            return value
        fields = {name: self.plain(inner) for name, inner in value.items()}
        if value.message == "Attachment":
            for name in ("source_path", "path", "content"):
                fields.pop(name, None)
            if value.presence == 0:
                fields.pop("bytes", None)
                fields.update(self.content(value.content))
        return fields


def line(kind, fields):
    return json.dumps({kind: fields}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def way_in(key_file, credential_id):
    if credential_id is None:
        return RecoveryKey(key_file.read_text(encoding="utf-8"))
    check(key_file.stat().st_mode & 0o077 == 0, "a file with a secret that others may read")
    try:
        return PasskeyOutput(bytes.fromhex(credential_id), bytes.fromhex(key_file.read_text(encoding="ascii")))
    except ValueError as error:
        raise Refused("a credential id and an output are hex digits") from error


def main(store, key_file, schemas, snapshot, passkey):
    keyring = Schema(schemas / "keys/proto/heirloom/keyring.proto")
    engine = Schema(schemas / "engine/proto/heirloom/engine.proto")
    records = Schema(schemas / "archive/proto/heirloom/archive.proto")
    repository = Repository(Store(store), way_in(key_file, passkey), keyring, engine)
    lines = list(History(repository, records, snapshot).canonical())
    sys.stdout.buffer.write("".join(text + "\n" for text in lines).encode("utf-8"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("store", "key_file", "schemas"):
        parser.add_argument(name, type=Path)
    parser.add_argument("snapshot", nargs="?")
    parser.add_argument("--passkey", metavar="CREDENTIAL-ID")
    try:
        main(**vars(parser.parse_args()))
    except Refused as refused:
        sys.exit(f"refused: {refused}")
