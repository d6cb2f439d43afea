"""Asks a real server everything that its OpenAPI document allows, and much that it does not, with schemathesis.

    probe.py PROGRAM EXAMPLES SEED

PROGRAM is a built `heirloom`. The server runs on loopback, on a folder of its own. It is asked twice: by a signed-in
account and by a stranger. No answer may have a status of 5xx, nor a status, a header, a kind or a body that the document does
not name.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import urllib.request

# Left out: what would ask for the impossible. A key of OPAQUE is a point of a curve and a signature is one of a key, which no
# schema says: a well-formed request may be refused. Objects that were made stay out of the way of other accounts.
CHECKS = ",".join(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "unsupported_method",
        "ignored_auth",
    ]
)

CONFIG = """
[limits]
guesses_per_minute = 100000000
requests_per_second = 1000000
account_requests_per_second = 1000000
"""


HERE = pathlib.Path(__file__).resolve().parent


def started(program, folder):
    config = folder / "server.toml"
    config.write_text(CONFIG)
    arguments = ["serve", "--json", "--config", str(config), "--listen", "127.0.0.1:0", "--data", str(folder / "data")]
    server = subprocess.Popen(
        [program, *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "HEIRLOOM_HOME": str(folder / "home")},
    )
    for line in server.stdout:
        event = json.loads(line)
        if event.get("event", event.get("type")) == "listening":
            return server, f"http://{event['address']}"
    raise SystemExit("the server did not start")


def sign_in(url):
    request = urllib.request.Request(
        f"{url}/v1/accounts",
        data=b'{"invite":null}',
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["token"]


def probed(url, folder, examples, seed, headers):
    program, settings = pathlib.Path(sys.executable).parent / "schemathesis", HERE / "schemathesis.toml"
    command = [str(program), "--config-file", str(settings), "run", f"{url}/v1/openapi.json"]
    command += ["--checks", CHECKS, "--max-examples", examples, "--seed", seed, "--no-color", "--continue-on-failure"]
    command += ["--phases", "coverage,fuzzing", "--request-timeout", "30", "--suppress-health-check", "all"]
    # Ending the sign-in would make a stranger of the account.
    command += ["--exclude-operation-id", "signOut"]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    return subprocess.run(command, cwd=folder, check=False).returncode


def main():
    program, examples, seed = sys.argv[1:]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        server, url = started(program, folder)
        try:
            token = sign_in(url)
            for who, headers in [("an account", {"Authorization": f"Bearer {token}"}), ("a stranger", {})]:
                print(f"--- as {who}", flush=True)
                failed += probed(url, folder, examples, seed, headers) != 0
            with urllib.request.urlopen(f"{url}/healthz", timeout=30) as answer:
                failed += answer.status != 200
        finally:
            server.send_signal(signal.SIGTERM)
            failed += server.wait(timeout=60) != 0
    sys.exit(1 if failed else 0)


main()
