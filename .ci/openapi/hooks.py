"""Keeps the calls from taking away what they stand on, and counts them."""

import json
import os
import threading

import schemathesis

WORLD = json.loads(os.environ["ANYPORT_CHECK_WORLD"])
CALLS = open(os.environ["ANYPORT_CHECK_CALLS"], "a", encoding="utf-8")
LOCK = threading.Lock()
VICTIMS = {name: list(ids) for name, ids in WORLD["victims"].items()}


def operation_id(case):
    return case.operation.definition.raw["operationId"]


@schemathesis.serializer("application/wasm")
def component(context, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = operation_id(case)
    path = case.path_parameters if isinstance(case.path_parameters, dict) else {}
    # What is deleted is one that nobody else asks for.
    if case.method.upper() == "DELETE":
        for name, victims in VICTIMS.items():
            if path.get(name) in WORLD["ids"].get(name, []):
                with LOCK:
                    path[name] = victims.pop() if victims else "gone"
    # Nor does what others ask lose its session, its link or its conversations.
    disturbs = ("/auth/", "/runtime/st", "/runtime/rec", "/version", "/conversations/delete", "/groups/leave")
    route = case.operation.path
    if path.get("account_id") == WORLD["signed_in"] and case.method.upper() != "GET" and (
        any(part in route for part in disturbs) or operation == "updateAccount"
    ):
        path["account_id"] = WORLD["other"]
    # A workspace that switches itself off takes its key with it.
    body = case.body
    if operation == "updateWorkspace" and isinstance(body, dict) and body.get("status") == "inactive":
        body["status"] = "active"
    # A good policy or configuration would keep accounts from their channel.
    if operation == "replaceNetworkPolicy" and isinstance(body, dict):
        for name in ("egress", "providers"):
            if isinstance(body.get(name), dict):
                body[name] = {}
        if isinstance(body.get("addresses"), dict):
            body["addresses"].pop("deny", None)
    # Nobody waits a minute for an event that does not come.
    query = case.query if isinstance(case.query, dict) else {}
    try:
        if 1 < int(str(query.get("wait"))) <= 60:
            query["wait"] = 1
    except ValueError:
        pass


@schemathesis.hook
def after_call(context, case, response):
    line = json.dumps([operation_id(case), case.method.upper(), response.status_code])
    with LOCK:
        CALLS.write(line + "\n")
        CALLS.flush()
