"""The secrets that a way in leads to, in hex, for a test that looks for them where they must not be.

Usage: keys.py STORE KEY-FILE [CREDENTIAL-ID]; KEY-FILE as for testdata/reader/reader.py, by which all is derived.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "testdata/reader"))

import keyring  # noqa: E402
from objects import Store, keyrings  # noqa: E402
from reader import way_in  # noqa: E402
from wire import Schema  # noqa: E402


def main(store, key_file, credential_id=None):
    way = way_in(Path(key_file), credential_id)
    newest, data = keyrings(Store(Path(store)))
    opened = keyring.Keyring(Schema(ROOT / "crates/keys/proto/heirloom/keyring.proto"), data[newest], way)
    slot = opened.header.slots[opened.opened[0]]
    info = keyring.slot_info(opened.repository, slot)
    found = {
        "the secret itself": way.secret,
        "the slot's key": keyring.hkdf(slot.salt, way.secret, info, 64)[:32],
        "the slot's wrapped seed": keyring.cseal_open(slot.salt, way.secret, info, slot.wrapped, "a slot")[:32],
        "the slot's own secret": opened.opened[2],
        "the chunk id key": opened.chunk_id_key,
    }
    sealed = keyring.fields("heirloom/v1/keyring", opened.repository, *opened.place, opened.clear_hash)
    found["the sealed part's key"] = keyring.hkdf(opened.header.sealed_salt, opened.root, sealed, 64)[:32]
    for number, root in opened.epochs:
        reader = keyring.fields("heirloom/v1/reader", opened.repository, keyring.u32(number))
        succession = keyring.fields("heirloom/v1/succession-key", opened.repository, keyring.u32(number))
        found[f"the root key of epoch {number}"] = root
        found[f"the reader key of epoch {number}"] = keyring.hkdf(b"", root, reader, 32)
        found[f"the succession key of epoch {number}"] = keyring.hkdf(b"", root, succession, 32)
    print(json.dumps({name: secret.hex() for name, secret in found.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
