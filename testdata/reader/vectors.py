"""Holds keyring.py against the vectors of the keyring, the run key, the recovery key and X-Wing.

Usage: vectors.py VECTORS SCHEMAS; VECTORS is the folder `testdata/vectors/keys`, SCHEMAS is `crates`.
"""

import json
import sys
from pathlib import Path

from keyring import Keyring, XWing, recovery_secret
from wire import Refused, Schema


def refused(make, *args):
    try:
        make(*args)
    except Refused:
        return True
    return False


def keyrings(schema, vectors):
    secret, seen = recovery_secret(vectors["recovery_key"]), []
    for vector in vectors["keyrings"]:
        data = bytes.fromhex(vector["bytes"])
        keyring = Keyring(schema, data, secret)
        assert (keyring.hash.hex(), keyring.chunk_id_key.hex()) == (vector["hash"], vector["chunk_id_key"]), vector["name"]
        assert keyring.run_key(bytes.fromhex(vector["sealed_run_key"])).hex() == vector["run_key"], vector["name"]
        for earlier in seen:
            keyring.check_follows(earlier)
        seen.append(data)
    for vector in vectors["refused"]:
        assert refused(Keyring, schema, bytes.fromhex(vector["bytes"]), secret), vector["name"]
    return len(seen) + len(vectors["refused"])


def recovery_keys(vectors):
    for vector in vectors:
        if vector.get("secret"):
            assert recovery_secret(vector["typed"]).hex() == vector["secret"], vector
        else:
            assert refused(recovery_secret, vector["typed"]), vector
    return len(vectors)


def x_wing(vectors):
    for vector in vectors:
        pair = XWing(bytes.fromhex(vector["seed"]))
        assert pair.public.hex() == vector["pk"]
        assert pair.decapsulate(bytes.fromhex(vector["ct"])).hex() == vector["ss"]
    return len(vectors)


def main(vectors, schemas):
    schema = Schema(Path(schemas) / "keys/proto/heirloom/keyring.proto")
    files = ("keyring.json", "recovery-key.json", "x-wing-draft.json")
    keyring, recovery_key, draft = (json.loads((Path(vectors) / name).read_text(encoding="utf-8")) for name in files)
    counts = keyrings(schema, keyring), recovery_keys(recovery_key), x_wing(draft)
    print("{} keyrings, {} recovery keys, {} key pairs".format(*counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
