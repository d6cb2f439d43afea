"""What a keyring says before anything opens it: which passkeys there are, and what to ask them (keyring.md, 4.1).

Usage: passkeys.py STORE SCHEMAS; one line of JSON each. Nothing of it is to be believed before the keyring was opened.
"""

import json
import sys
from pathlib import Path

from keyring import Locked, prf_salt
from objects import Store, keyrings
from wire import Refused, Schema


def main(store, schemas):
    newest, data = keyrings(Store(Path(store)))
    locked = Locked(Schema(Path(schemas) / "keys/proto/heirloom/keyring.proto"), data[newest])
    prf_input = locked.header.prf_input
    for slot in locked.header.slots:
        if slot.method == 2:
            line = {
                "credential_id": slot.passkey.credential_id.hex(),
                "rp_id": slot.passkey.rp_id,
                "transports": slot.passkey.transports,
                "prf_input": prf_input.hex(),
                "prf_salt": prf_salt(prf_input).hex(),
            }
            print(json.dumps(line))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Refused as refused:
        sys.exit(f"refused: {refused}")
