#!/usr/bin/env python3
"""Calls every operation that a host's description names, on a real host with the simulator channel.

    check.py ANYPORT [--work DIRECTORY]

Starts the program ANYPORT in an empty directory, makes what there is to read, lets schemathesis
call every operation with good and bad input (schemathesis.toml), and holds the answers against
the description. It does not pass by testing nothing: every operation must have been called, and
every operation that reads must have answered well in a good part of its calls.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from openapi_spec_validator import validate

HERE = pathlib.Path(__file__).resolve().parent
# Called by this script: a stream does not end, and the description is where schemathesis begins.
STREAM = "streamEvents"
BY_HAND = {STREAM, "getDescription"}
# Nobody can guess its token; the stories of tests/it/media have some.
UNGUESSABLE = {"getSharedMedia"}
MIN_CALLS = 5
# Of each read. Most calls are meant to be refused.
MIN_GOOD = 1


class Host:
    def __init__(self, program, directory):
        self.log = open(directory / "host.log", "w", encoding="utf-8")
        command = [
            program, "serve", "--listen", "127.0.0.1:0", "--allow", "127.0.0.0/8",
            "--set", "simulator.enabled=true", "--set", "limits.unauthenticated_per_second=0",
        ]
        self.process = subprocess.Popen(
            command, cwd=directory, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        said = {}
        for line in self.process.stdout:
            if "listens on" in line:
                self.base = line.split()[-1]
            elif ":" in line:
                name, value = line.strip().split(":", 1)
                said[name] = value.strip()
            if "operator key" in said:
                break
        if "operator key" not in said:
            raise SystemExit(f"the host did not start; see {directory}/host.log")
        self.key, self.operator = said["API key"], said["operator key"]

    def call(self, method, path, body=None, key=None, headers=None):
        headers = {"X-Api-Key": key or self.key, **(headers or {})}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from None
        return json.loads(text)["data"] if text else None

    def admin(self, method, path, body=None):
        return self.call(method, path, body, self.operator)

    def stop(self):
        self.process.terminate()
        code = self.process.wait(60)
        if code != 0:
            raise SystemExit(f"the host ended with {code}")


def wait_until(what, condition):
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise SystemExit(f"not within 30 s: {what}")


def account(host, user):
    made = host.call("POST", "/v1/accounts", {
        "provider": "simulator", "auth_mode": "code", "provider_data": {"user": user},
    })
    return made["id"]


def sign_in(host, account_id):
    auth = f"/v1/accounts/{account_id}/auth"
    host.call("POST", f"{auth}/start", {})
    state = host.call("POST", f"{auth}/code", {"code": "123456"})
    assert state["status"] == "authorized", state
    running = f"/v1/accounts/{account_id}"
    wait_until("the account runs", lambda: host.call("GET", running)["runtime_status"] == "running")


def endpoint(host):
    # Nobody listens there.
    body = {"url": "http://127.0.0.1:9/", "subscribed_events": ["message.sent"]}
    return host.call("POST", "/v1/webhook-endpoints", body)["id"]


def medium(host):
    request = urllib.request.Request(f"{host.base}/v1/media", data=b"hello", method="POST", headers={
        "X-Api-Key": host.key, "Content-Type": "text/plain",
    })
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["data"]["id"]


def ids_of(host, path, field):
    """Of a list that the channel may not offer; `echo` is always there."""
    request = urllib.request.Request(host.base + path, headers={"X-Api-Key": host.key})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            items = json.loads(answer.read())["data"]["items"]
    except urllib.error.HTTPError as error:
        if error.code != 501:
            raise SystemExit(f"{path}: {error.code} {error.read().decode()}") from None
        items = []
    return [item[field] for item in items][:5] or ["echo"]


def make_world(host):
    accounts = [account(host, user) for user in ("ada", "bob")]
    sign_in(host, accounts[0])
    sent = [
        host.call("POST", "/v1/messages", {
            "account_id": accounts[0], "to": {"id": "echo", "type": "user"},
            "message": {"type": "text", "text": f"number {number}"},
        })["id"]
        for number in range(3)
    ]
    wait_until("echoes come", lambda: "message.received" in json.dumps(
        host.call("GET", "/v1/events?limit=1000")["items"]))
    workspaces = [host.admin("POST", "/admin/v1/workspaces", {"name": f"w{n}"})["id"] for n in range(4)]
    keys = [host.call("POST", "/v1/api-keys", {"name": f"k{n}"})["key"]["id"] for n in range(2)]
    keys += [
        host.admin("POST", "/admin/v1/operator-keys", {"name": f"o{n}"})["key"]["id"] for n in range(2)
    ]
    keys += [
        host.admin("POST", f"/admin/v1/workspaces/{workspaces[0]}/api-keys", {"name": "w"})["key"]["id"]
    ]
    endpoints = [endpoint(host) for _ in range(4)]
    own = f"/v1/accounts/{accounts[0]}"
    versions = host.admin("GET", "/admin/v1/providers/simulator")["versions"]
    return {
        "signed_in": accounts[0],
        "other": accounts[1],
        "ids": {
            "account_id": accounts,
            # Of somebody that every user of the simulator knows.
            "address": ["15550000001"],
            "media_id": [medium(host) for _ in range(3)],
            "contact_id": ids_of(host, f"{own}/contacts", "id"),
            "conversation_id": ids_of(host, f"{own}/conversations", "conversation_id"),
            "group_id": ids_of(host, f"{own}/groups", "id"),
            "digest": [version["digest"] for version in versions],
            "endpoint_id": endpoints[:2],
            "key_id": keys,
            "message_id": sent,
            "provider": ["simulator"],
            "workspace_id": workspaces[:2],
        },
        "victims": {
            "media_id": [medium(host)],
            "account_id": [account(host, "eve")],
            "endpoint_id": endpoints[2:],
            "workspace_id": workspaces[2:],
        },
    }


def read_stream(host):
    """The one operation that schemathesis cannot call: status, type, and an event."""
    path = "/v1/events/stream?after=earliest"
    request = urllib.request.Request(host.base + path, headers={"X-Api-Key": host.key})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200, answer.status
        assert answer.headers["Content-Type"] == "text/event-stream", answer.headers
        assert answer.headers["X-Request-Id"].startswith("req_"), answer.headers
        for line in answer:
            if line.startswith(b"data: "):
                assert json.loads(line[6:])["id"].startswith("evt_"), line
                return


def read_description(host):
    """What schemathesis does not call either; the second time it is as it was."""
    with urllib.request.urlopen(host.base + "/openapi.json", timeout=30) as answer:
        assert answer.headers["Content-Type"] == "application/json", answer.headers
        tag = answer.headers["ETag"]
        document = json.load(answer)
    again = urllib.request.Request(host.base + "/openapi.json", headers={"If-None-Match": tag})
    try:
        urllib.request.urlopen(again, timeout=30)
    except urllib.error.HTTPError as error:
        assert error.code == 304, error.code
        return document
    raise SystemExit("If-None-Match does not count")


def judge(document, calls):
    counted = collections.defaultdict(collections.Counter)
    for line in calls.read_text(encoding="utf-8").splitlines():
        operation, _, status = json.loads(line)
        counted[operation][status] += 1
    wrong = []
    good_of_all = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = operation["operationId"]
            if name in BY_HAND:
                continue
            statuses = counted[name]
            number = sum(statuses.values())
            good = sum(count for status, count in statuses.items() if status < 400)
            good_of_all += good > 0
            if number < MIN_CALLS:
                wrong.append(f"{name}: called {number} times only")
            elif good == 0 and statuses[501]:
                print(f"{name}: the channel does not offer it")
            elif name in UNGUESSABLE:
                continue
            elif method == "get" and good < MIN_GOOD:
                wrong.append(f"{name}: answered well in {good} of {number} calls only: {dict(statuses)}")
    number = sum(sum(statuses.values()) for statuses in counted.values())
    operations = sum(len(methods) for methods in document["paths"].values())
    called = sum(1 for statuses in counted.values() if statuses)
    print(f"{number} calls of {called} operations (of {operations}); {good_of_all} of them answered well")
    return wrong


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    work = pathlib.Path(sys.argv[sys.argv.index("--work") + 1] if "--work" in sys.argv else tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    host = Host(program, work)
    try:
        document = read_description(host)
        (work / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
        validate(document)
        world = make_world(host)
        for name, ids in world["ids"].items():
            quoted = "".join(f"{json.dumps(one)}\n" for one in ids)
            (work / name).write_text(quoted, encoding="utf-8")
        # Files are looked for beside the configuration.
        config = work / "schemathesis.toml"
        config.write_text((HERE / "schemathesis.toml").read_text(encoding="utf-8"), encoding="utf-8")
        calls = work / "calls"
        calls.write_text("", encoding="utf-8")
        environment = {
            **os.environ,
            "ANYPORT_KEY": host.key,
            "ANYPORT_OPERATOR_KEY": host.operator,
            "ANYPORT_CHECK_WORLD": json.dumps(world),
            "ANYPORT_CHECK_CALLS": str(calls),
            "SCHEMATHESIS_HOOKS": "hooks",
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run",
            host.base + "/openapi.json", "--exclude-operation-id", STREAM,
        ]
        result = subprocess.run(command, cwd=work, env=environment, check=False)
        wrong = judge(document, calls)
        read_stream(host)
        if host.process.poll() is not None:
            wrong.append("the host ended")
    finally:
        if host.process.poll() is None:
            host.stop()
    for line in wrong:
        print(line)
    failed = result.returncode != 0 or bool(wrong)
    operations = sum(len(methods) for methods in document["paths"].values())
    print(f"{0 if failed else operations} passed, {max(len(wrong), 1) if failed else 0} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
