"""
What schemathesis has to know about this API: the few rules that a JSON schema cannot say.

Only what is well formed is changed, so that what was made up to be wrong stays wrong.
"""

import json
import os
import re
import urllib.request
from functools import cache
from typing import Any
from uuid import uuid4

import schemathesis

from armo.common.moments import parse_moment

# They end the token they come with, which all other requests need.
ENDS_TOKEN = ("/api/v1/auth/logout/", "/api/v1/auth/tokens/", "/api/v1/auth/tokens/{key}/")

# Times lie in the future, and an end after its start.
START, END = "2100-01-01T00:00:00+09:00", "2200-01-01T00:00:00.5Z"
ITEM = re.compile("/api/v1/(stories|notices)/({id}/)?")
MODELS = {
    "story": "/api/v1/stories/{id}/schedule/",
    "content.story": "/api/v1/stories/{id}/schedule/",
    "notice": "/api/v1/notices/{id}/schedule/",
    "content.notice": "/api/v1/notices/{id}/schedule/",
}
BEYOND = re.compile("[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")
TIMES = {"publish_at": START, "run_at": START, "unpublish_at": END}
ALL_TIMES = {**TIMES, "expires_at": END}


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Allow the web server's own answer, which is no JSON and so in no client's types."""
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            operation["responses"].setdefault("414", {"description": "The address is too long."})


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Make a request valid by the rules that only the server knows."""
    aim_at_a_row(case)
    meet_what_is_there(case)
    if isinstance(case.body, dict):
        case.body = sensible(case.body, case.path, case.method.upper())
    cursor = (case.query or {}).get("cursor")
    if isinstance(cursor, str) and len(cursor) <= 500:
        # What a cursor may be only the server knows: begin at the first page.
        del case.query["cursor"]
    author = (case.query or {}).get("author")
    if isinstance(author, str) and not author.isdecimal():
        # Which names one may ask for depends on who asks.
        case.query["author"] = "1"


def aim_at_a_row(case: Any) -> None:
    """Use mostly rows that exist and allow the action; few generated ids would."""
    pk = (case.path_parameters or {}).get("id")
    if isinstance(pk, str) and re.fullmatch("[1-9][0-9]{0,17}", pk):
        pk = int(pk)
    if isinstance(pk, int):
        case.path_parameters["id"] = real(pk, case.path)
    body = case.body
    if not isinstance(body, dict):
        return
    if isinstance(body.get("ids"), list):
        body["ids"] = [real(pk, case.path) for pk in body["ids"]]
    model = body.get("model")
    if case.path == "/api/v1/jobs/" and isinstance(model, str) and model in MODELS:
        body["id"] = real(body.get("id"), MODELS[model])


def real(pk: Any, path: str) -> Any:
    """Return the id of a row in place of most made-up ones."""
    if type(pk) is not int or not 1 <= pk < 10**18 or pk % 8 == 7:
        return pk
    ids = known_ids().get(path) or known_ids()["/".join(path.split("/")[:4]) + "/"]
    return ids[pk % len(ids)]


@cache
def known_ids() -> dict[str, list[int]]:
    """Return the ids of rows, by the path of what can be done to them."""
    return dict(json.loads(os.environ["FUZZ_IDS"]))


def meet_what_is_there(case: Any) -> None:
    """Give each request its own idempotency key, and most of them a version that matches."""
    headers = case.headers or {}
    if isinstance(headers.get("If-Match"), str) and len(headers["If-Match"]) % 4:
        case.headers["If-Match"] = "*"
    for name in ("If-None-Match", "If-Unmodified-Since"):
        if case.method != "GET" and isinstance(headers.get(name), str) and len(headers[name]) % 4:
            del case.headers[name]
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]{1,255}", key):
        case.headers["Idempotency-Key"] = str(uuid4())


def sensible(body: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    """Make the times consistent with each other, with the status, and with the present."""
    body = {name: ALL_TIMES.get(name, it) if is_time(it) else it for name, it in body.items()}
    for name in ("categories", "tags", "keywords"):
        if isinstance(body.get(name), list):
            # Characters beyond U+FFFF that show nothing are in no pattern of the schema.
            body[name] = [BEYOND.sub("가", it) if isinstance(it, str) else it for it in body[name]]
    if isinstance(body.get("zone"), str) and 1 <= len(body["zone"]) <= 64:
        # Which ones there are only the server knows.
        body["zone"] = "Asia/Seoul"
    if path == "/api/v1/jobs/rerun/" and body.get("dry_run", False) is False:
        # All at once would leave none for the others.
        body["dry_run"] = True
    if path == "/api/v1/auth/keys/":
        if isinstance(body.get("name"), str) and 1 <= len(body["name"]) <= 100:
            # No two keys of one person have the same.
            body["name"] = str(uuid4())
        if isinstance(body.get("type"), str) and len(body["type"]) <= 200:
            # Which ones there are only the server knows.
            body["type"] = "story"
    if not ITEM.fullmatch(path):
        return body
    if isinstance(body.get("slug"), str) and re.fullmatch(r"[\w-]{1,200}", body["slug"]):
        # No two stories have the same.
        body["slug"] = str(uuid4())
    if isinstance(body.get("language"), str) and len(body["language"]) <= 16:
        # Which ones there are only the server knows.
        body["language"] = "pt_br"
    status = body.get("status")
    if status == "scheduled" and body.get("publish_at") is None:
        body["publish_at"] = START
    elif status == "draft" or (status is None and method == "POST"):
        body = {
            name: it
            for name, it in body.items()
            if name not in TIMES or not (it is None or is_time(it))
        }
    elif status is None and "publish_at" in body and body["publish_at"] is None:
        del body["publish_at"]
    if body.get("zone") == "Asia/Seoul" and not any(body.get(name) for name in TIMES):
        # Without a time it says nothing.
        del body["zone"]
    given = [it for name, it in body.items() if name != "reason" and it]
    if method == "POST" and all(isinstance(it, str) and not re.search(r"\w", it) for it in given):
        # Of a new item something must be given that can be seen.
        body["title"] = "t"
    return body


def is_time(value: Any) -> bool:
    """Whether it is a time as the API takes it; the schema has no limits of years."""
    try:
        return isinstance(value, str) and bool(parse_moment(value))
    except ValueError as error:
        return str(error) == "out_of_range"


def new_token(name: str) -> str:
    """Log in as somebody, whose name is their password too."""
    request = urllib.request.Request(
        os.environ["FUZZ_URL"] + "/api/v1/auth/login/",
        data=json.dumps({"username": name, "password": name}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["token"])


@cache
def token_of_the_run() -> str:
    """Log in once: to hash a password takes long, on purpose."""
    return new_token(os.environ["FUZZ_ROLE"])


if "FUZZ_ROLE" in os.environ:

    @schemathesis.auth(refresh_interval=None)
    class Login:
        """Sends the role's token."""

        def get(self, case: Any, context: Any) -> str:
            """Return a token for the whole run."""
            return token_of_the_run()

        def set(self, case: Any, data: str, context: Any) -> None:
            """Give it to a request; to what ends tokens, that of somebody with the same rights."""
            token = data
            if case.path in ENDS_TOKEN:
                token = new_token(f"{os.environ['FUZZ_ROLE']}-leaving")
                if isinstance((case.path_parameters or {}).get("key"), str):
                    case.path_parameters["key"] = token[:15]
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
