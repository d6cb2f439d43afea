"""Holds keyring.py against the vectors of the keyring, the run key, the recovery key and X-Wing.

Usage: vectors.py VECTORS SCHEMAS; VECTORS is the folder `testdata/vectors/keys`, SCHEMAS is `crates`.
"""

import json
import sys
from pathlib import Path

from keyring import Keyring, Locked, PasskeyOutput, RecoveryKey, XWing, hmac256, prf_salt, recovery_secret
from wire import Refused, Schema


def refused(make, *args):
    try:
        make(*args)
    except Refused:
        return True
    return False


def keyrings(schema, vectors):
    way, seen = RecoveryKey(vectors["recovery_key"]), []
    for vector in vectors["keyrings"]:
        data = bytes.fromhex(vector["bytes"])
        keyring = Keyring(schema, data, way)
        assert (keyring.hash.hex(), keyring.chunk_id_key.hex()) == (vector["hash"], vector["chunk_id_key"]), vector["name"]
        assert keyring.run_key(bytes.fromhex(vector["sealed_run_key"])).hex() == vector["run_key"], vector["name"]
        for earlier in seen:
            keyring.check_follows(earlier)
        seen.append(data)
    for vector in vectors["refused"]:
        assert refused(Keyring, schema, bytes.fromhex(vector["bytes"]), way), vector["name"]
    return len(seen) + len(vectors["refused"])


def early(schema, vectors):
    vector = vectors["keyring"]
    keyring = Keyring(schema, bytes.fromhex(vector["bytes"]), RecoveryKey(vectors["recovery_key"]))
    assert keyring.hash.hex() == vector["hash"] and keyring.removal_due_ms == 0
    assert keyring.run_key(bytes.fromhex(vector["sealed_run_key"])).hex() == vector["run_key"]


def passkeys(schema, vectors):
    """docs/keyring.md, section 4.1: from what an authenticator keeps to an open keyring."""
    data, run_key = bytes.fromhex(vectors["bytes"]), bytes.fromhex(vectors["sealed_run_key"])
    assert Locked(schema, data).header.prf_input.hex() == vectors["prf_input"]
    salt = prf_salt(bytes.fromhex(vectors["prf_input"]))
    assert salt.hex() == vectors["prf_salt"]
    for vector in vectors["passkeys"]:
        credential_id, output = bytes.fromhex(vector["credential_id"]), bytes.fromhex(vector["prf_output"])
        assert hmac256(bytes.fromhex(vector["cred_random"]), salt) == output, vector["name"]
        keyring = Keyring(schema, data, PasskeyOutput(credential_id, output))
        assert keyring.run_key(run_key).hex() == vectors["run_key"], vector["name"]
        slot = keyring.slots[keyring.opened[0]]
        private = slot.id.hex(), slot.name, slot.proofs, slot.aaguid.hex(), slot.backup_eligible
        assert private == tuple(vector[name] for name in ("slot", "name", "proofs", "aaguid", "backup_eligible")), vector
        assert keyring.opened[2].hex() == vector["auth_psk"]
        assert keyring.removal_due_ms == vectors["removal_due_ms"]
    for vector in vectors["refused"]:
        way = lambda: PasskeyOutput(bytes.fromhex(vector["credential_id"]), bytes.fromhex(vector["prf_output"]))
        assert refused(lambda: Keyring(schema, data, way())), vector["name"]
    return len(vectors["passkeys"]) + len(vectors["refused"])


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
    files = ("keyring.json", "recovery-key.json", "x-wing-draft.json", "keyring-early.json", "passkey.json")
    keyring, recovery_key, draft, before, passkey = (json.loads((Path(vectors) / name).read_text(encoding="utf-8")) for name in files)
    early(schema, before)
    counts = keyrings(schema, keyring), recovery_keys(recovery_key), x_wing(draft), passkeys(schema, passkey)
    print("{} keyrings, {} recovery keys, {} key pairs, {} passkeys".format(*counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
