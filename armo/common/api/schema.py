"""
The OpenAPI document: what all operations have in common is described here, once.

Views describe their requests and answers; this adds names and summaries, the errors, and the
headers for versions and repeated requests.
"""

import json
import re
from http import HTTPStatus
from typing import Any

from django.utils import translation
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema

from armo.common.api.problems import CODES, MEDIA_TYPE
from armo.common.api.scopes import ANYBODY, scopes_of

PROBLEM = {"$ref": "#/components/schemas/Problem"}

DESCRIPTION = """\
Write content, say when it goes live, read it.

* **Who.** `POST auth/login/` gives a token; send it as `Authorization: Bearer <token>`. Without
  one, only what is published can be read.
* **Keys.** A program needs no password: `POST auth/keys/` makes a key, which is sent like a token
  and opens what its scopes allow. `scope_missing` names the scope that it lacks.
* **Times** carry an offset in requests (`2026-03-01T09:00:00+09:00`) and are UTC with microseconds
  in answers.
* **Errors** are `application/problem+json` (RFC 9457); compare their `code`.
* **Versions.** Every item and job answers with an `ETag`. Send it as `If-Match` with a write, and
  nobody's change is lost: 412 says that there was one.
* **Repetition.** A POST with an `Idempotency-Key` is done once, however often it is sent within a
  day.
* **Texts** come in English and Korean, by `Accept-Language`.
"""


class EnglishDocument(SchemaGenerator):
    """The document, which is the same whatever language its reader or the site speaks."""

    def get_schema(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the document."""
        with translation.override("en"):
            document: dict[str, Any] = super().get_schema(*args, **kwargs)  # type: ignore[no-untyped-call]
        return document


# What generated clients call the methods that every viewset has.
VERBS = {"retrieve": "get", "partial_update": "update", "destroy": "delete"}


# Neither white space nor a control character, in every dialect of regular expressions.
SOMETHING = r"[^\s\x00-\x1f\x7f-\x9f]"


class ArmoSchema(AutoSchema):
    """Describes an operation together with all that `ApiView` adds to it."""

    def get_operation_id(self) -> str:
        """Return the verb and what it is done to: `list_stories`, `get_story`, `rerun_job`."""
        view: Any = self.view
        action = getattr(view, "action", None)
        if not action or not getattr(view, "basename", None):
            found: str = super().get_operation_id()
            return found
        singular, plural = self._names()
        name = singular if view.detail or action == "create" else plural
        return f"{VERBS.get(action, action)} {name}".replace(" ", "_")

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Return the description of one operation."""
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        self._name_the_type(operation)
        # The first clause of the description.
        first = re.split(r"[.;:](?=\s|$)", operation.get("description", ""), maxsplit=1)[0]
        operation.setdefault("summary", first)
        parameters = operation.setdefault("parameters", [])
        parameters += self._headers(operation)
        for status in sorted(self._statuses(operation)):
            ref = {"$ref": f"#/components/responses/{component_name(status)}"}
            operation["responses"].setdefault(str(status), ref)
        for status, response in operation["responses"].items():
            headers = {} if "$ref" in response else self._answer_headers(int(status))
            if headers:
                response.setdefault("headers", {}).update(headers)
        if self._is_readable() and self.method == "GET":
            operation["responses"]["304"] = {
                "description": "What you have is still right.",
                "headers": self._answer_headers(200),
            }
        for parameter in parameters:
            if (parameter["in"], parameter["name"]) == ("path", "id"):
                # The router describes it as digits, not as a number.
                parameter["schema"] = {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}
        filters = getattr(getattr(self.view, "filterset_class", None), "base_filters", {})
        queries = [it for it in parameters if it["in"] == "query"]
        for parameter in queries:
            if parameter["schema"].get("type") == "string":
                # A blank parameter is refused.
                parameter["schema"].setdefault("minLength", 1)
                if not parameter["schema"].keys() & {"enum", "format", "pattern"}:
                    parameter["schema"]["pattern"] = SOMETHING
            options = getattr(filters.get(parameter["name"]), "extra", {})
            if "max_length" in options:
                parameter["schema"]["maxLength"] = options["max_length"]
            if "help_text" in options:
                parameter["description"] = options["help_text"]
        if getattr(self.view, "action", None) == "create":
            operation["requestBody"]["required"] = True
        operation["responses"] = dict(sorted(operation["responses"].items()))
        if operation.get("security") == [{}]:
            # The same to the specification; generated clients ask for a login otherwise.
            operation["security"] = []
        return operation

    def get_auth(self) -> list[dict[str, Any]]:
        """Return the security schemes; none is needed where everybody may read."""
        found: list[dict[str, Any]] = super().get_auth()
        if self.method == "GET" and getattr(self.view, "is_public_to_read", False):
            found.append({})
        return found

    def _names(self) -> tuple[str, str]:
        """Return what the rows of a viewset are called, one and many: `story`, `stories`."""
        view: Any = self.view
        return view.basename.replace("-", " "), self._tokenize_path()[0].replace("-", " ")

    def _name_the_type(self, operation: dict[str, Any]) -> None:
        """Have the description of a route that all types share say which type it is for."""
        generic = getattr(self.view, "generic_name", None)
        if not generic or "description" not in operation:
            return
        singular, plural = self._names()
        article = "an" if singular[0] in "aeiou" else "a"
        text = re.sub(
            rf"\b([Aa])n? {generic}\b", rf"\1{article[1:]} {singular}", operation["description"]
        )
        operation["description"] = re.sub(
            rf"\b{generic}(s?)\b", lambda it: plural if it[1] else singular, text
        )

    def _is_versioned(self) -> bool:
        """Return whether the operation is on one row that has a version, or compares one."""
        action = getattr(self.view, "action", None)
        is_compared = action in getattr(self.view, "compared_on", ())
        return self._is_readable() and bool(getattr(self.view, "detail", False) or is_compared)

    def _is_readable(self) -> bool:
        return bool(getattr(self.view, "is_versioned", False))

    def _headers(self, operation: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        if self.method == "POST" and getattr(self.view, "is_repeatable", False):
            found.append(
                _header(
                    "Idempotency-Key",
                    "A name of this request: sent again, it is not done again.",
                    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                )
            )
        if self.method != "GET" and self._is_versioned():
            found += [
                _header(
                    "If-Match",
                    "The ETag of the version that you know: 412 when there is another by now.",
                    {"type": "string", "examples": ['"0f3a1c"', "*"]},
                ),
                _header(
                    "If-Unmodified-Since",
                    "Without If-Match: 412 when it was changed after this time.",
                    {"type": "string", "examples": ["Sun, 01 Mar 2099 00:00:00 GMT"]},
                ),
                _header(
                    "If-None-Match",
                    "412 when it has this version; `*`: when it is there at all.",
                    {"type": "string", "examples": ['"0f3a1c"', "*"]},
                ),
            ]
        if self.method == "GET" and self._is_readable():
            found.append(
                _header(
                    "If-None-Match",
                    "The ETag of what you have: 304 when it is still right.",
                    {"type": "string"},
                )
            )
        return found

    def _statuses(self, operation: dict[str, Any]) -> set[int]:
        has_body = "requestBody" in operation
        is_write = self.method != "GET"
        has_path = "{" in self.path
        # Every route refuses unknown parameters, with 400.
        statuses = {400, 401, 406, 429, 500, 503}
        if has_body:
            statuses |= {413, 415}
        if is_write or not self._is_public(operation):
            statuses.add(403)
        if has_path:
            statuses.add(404)
        if self.method == "POST" and getattr(self.view, "is_repeatable", False):
            statuses.add(409)
        if is_write and self._is_readable():
            statuses |= {404, 409}
        if is_write and self._is_versioned():
            statuses.add(412)
        return statuses - set(getattr(self.view, "never_answers", ()))

    def _is_public(self, operation: dict[str, Any]) -> bool:
        return {} in operation.get("security", ())

    def _answer_headers(self, status: int) -> dict[str, Any]:
        if status in (200, 201) and self._is_readable():
            headers = {"ETag": _answer_header("The version of this answer.")}
            if self._is_versioned() and self.method == "GET":
                headers["Last-Modified"] = _answer_header("When that was made.")
            if status == HTTPStatus.CREATED:
                headers["Location"] = _answer_header("Where it is from now on.", "uri")
            return headers
        return {}


def component_name(status: int) -> str:
    """Return the name of the component for answers of a status."""
    return "".join(word.capitalize() for word in _phrase(status).split())


def _phrase(status: int) -> str:
    """Return a status's name in RFC 9110; before version 3.13 Python has those of RFC 7231."""
    named = {413: "Content Too Large", 422: "Unprocessable Content"}
    return named.get(status) or HTTPStatus(status).phrase


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _answer_header(description: str, text_format: str = "") -> dict[str, Any]:
    schema = {"type": "string", **({"format": text_format} if text_format else {})}
    return {"description": description, "schema": schema}


def problem_response(status: int) -> dict[str, Any]:
    """Return the description of all answers of a status."""
    codes = [code for code, (of, _) in CODES.items() if of == status]
    named = " or ".join(f"`{code}`" for code in codes)
    examples = {code: _example(code) for code in codes}
    return {
        "description": f"{_phrase(status)}: `code` is {named}.",
        "headers": ERROR_HEADERS.get(status, {}),
        "content": {MEDIA_TYPE: {"schema": PROBLEM, "examples": examples}},
    }


def _example(code: str) -> dict[str, Any]:
    status, title = CODES[code]
    value = {
        "type": f"/api/v1/problems/#{code}",
        "title": str(title),
        "status": int(status),
        "detail": str(title),
        "code": code,
        **EXAMPLES.get(code, {}),
    }
    return {"value": value}


ERROR_HEADERS = {
    401: {"WWW-Authenticate": _answer_header("How to say who you are.")},
    409: {"ETag": _answer_header("Of `invalid_transition`: the version as it is now.")},
    412: {"ETag": _answer_header("The version as it is now.")},
    415: {"Accept-Encoding": _answer_header("Of a compressed body: `identity`.")},
    429: {"Retry-After": _answer_header("Seconds to wait.")},
    503: {"Retry-After": _answer_header("Seconds to wait.")},
}

EXAMPLES: dict[str, dict[str, Any]] = {
    "validation_error": {
        "detail": "publish_at: It has no offset: write 2026-03-01T09:00:00+09:00, or Z for UTC.",
        "errors": [
            {
                "field": "publish_at",
                "code": "no_offset",
                "detail": "It has no offset: write 2026-03-01T09:00:00+09:00, or Z for UTC.",
            }
        ],
    },
    "not_publishable": {
        "detail": "It cannot go live as it is. Its body is empty.",
        "problems": ["Its body is empty."],
    },
    "invalid_transition": {
        "detail": "It is published and cannot become scheduled.",
        "current_status": "published",
        "current_etag": '"2f1e0d9c8b7a"',
        "current_version": 7,
    },
    "version_conflict": {"current_etag": '"2f1e0d9c8b7a"', "current_version": 7},
    "scope_missing": {"detail": "This key lacks the scope “publish”.", "scope": "publish"},
    "throttled": {"retry_after_seconds": 12},
}

TEXT = {"type": "string"}


def describe_problems(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Add the description of a problem, and of the whole."""
    result["info"]["description"] = DESCRIPTION
    result["components"]["schemas"]["Problem"] = {
        "type": "object",
        "description": "An error as RFC 9457 has it.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {**TEXT, "format": "uri-reference", "description": "Where it is explained."},
            "title": {**TEXT, "description": "What kind of error, in the reader's language."},
            "status": {"type": "integer"},
            "detail": {**TEXT, "description": "What is wrong this time."},
            "code": {**TEXT, "enum": sorted(CODES), "description": "What programs compare."},
            "errors": {
                "type": "array",
                "description": "Of a `validation_error`: each field that is wrong.",
                "items": {
                    "type": "object",
                    "required": ["field", "code", "detail"],
                    "properties": {
                        "field": TEXT,
                        "code": TEXT,
                        "detail": TEXT,
                        "item": {"type": "integer", "description": "Of `unique`: who has it."},
                    },
                },
            },
            "problems": {
                "type": "array",
                "description": "Of `not_publishable`: what is missing, a sentence each.",
                "items": TEXT,
            },
            "refusals": {
                "type": "array",
                "description": "Of a bulk request: each item that is in the way, and why.",
                "items": {
                    "type": "object",
                    "required": ["id", "code", "detail"],
                    "properties": {
                        "id": {"type": "integer"},
                        "code": TEXT,
                        "detail": TEXT,
                        "problems": {"type": "array", "items": TEXT},
                        "current_status": TEXT,
                        "current_etag": TEXT,
                        "current_version": {"type": "integer"},
                    },
                },
            },
            "current_status": {
                "type": ["string", "null"],
                "description": "Of `invalid_transition`: the item's; null if it is gone.",
            },
            "current_state": {**TEXT, "description": "Of `invalid_transition`: the job's."},
            "current_etag": {
                **TEXT,
                "description": "Of `version_conflict` and `invalid_transition`, as in `ETag`.",
            },
            "current_version": {
                "type": ["integer", "null"],
                "description": "The same as a number.",
            },
            "scope": {
                **TEXT,
                "description": "Of `scope_missing`: the scope, or the type, that the key lacks.",
            },
            "retry_after_seconds": {"type": "integer", "description": "Of `throttled`."},
        },
    }
    for name, schema in result["components"]["schemas"].items():
        if name.endswith("InputRequest"):
            # Unknown fields are refused, not ignored.
            schema["additionalProperties"] = False
        if name.endswith("Request"):
            for field in schema.get("properties", {}).values():
                _describe_default(field)
    result["components"]["responses"] = {
        component_name(status): problem_response(status)
        for status in sorted({int(status) for status, _ in CODES.values()})
    }
    result["components"]["schemas"] = dict(sorted(result["components"]["schemas"].items()))
    return result


def _describe_default(field: dict[str, Any]) -> None:
    """Say in words what a field of a request is when it is left out."""
    # Generators of types take a field with a `default` to be there always.
    default = field.pop("default", "")
    if default != "":
        shown = default if isinstance(default, str) else json.dumps(default)
        field["description"] = f"{field.get('description', '')} `{shown}` by default.".strip()


class BearerTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The schemes `Authorization: Bearer <token>`, and the same with a key, in the document."""

    target_class = "armo.common.api.authentication.BearerToken"
    name = ["token", "key"]  # noqa: RUF012 (as its base has it)

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[str]]]:
        """Return what opens the route: a token, or a key with one of some scopes."""
        needed = scopes_of(auto_schema.view, auto_schema.method)
        # Where none is needed, a key is as good as nothing.
        by_key = [[]] if needed is ANYBODY else [[scope.value] for scope in needed]
        return [{"token": []}, *({"key": names} for names in by_key)]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        """Return the description of both."""
        bearer = {"type": "http", "scheme": "bearer"}
        return [
            {**bearer, "description": "A token of `auth/login/`."},
            {
                **bearer,
                "bearerFormat": "armo_…",
                "description": "A key of `auth/keys/`, with the scope that the operation names.",
            },
        ]
