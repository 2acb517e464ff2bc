"""The OpenAPI 3.1 document, made of the operations' own metadata.

msgspec describes the structs; here its description is fitted to what goes over the wire (`_fit`) and the operations
are put around it. The same operations give the same document, octet for octet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gateway
from gateway.api.examples import EXAMPLES
from gateway.api.operation import Operation
from gateway.api.paths import OTHER, PATH_PARAMETERS
from gateway.api.requests import IDEMPOTENCY_KEY, LONGEST_WAIT
from gateway.api.schemas import REFERENCE, bounded, component_schemas, parameter_schemas
from gateway.api.validation import struct_info
from gateway.errors import Remedy

Schema = dict[str, Any]

TAGS: Mapping[str, str] = {
    "Account": "Mail accounts and their connections",
    "OAuth2 Applications": "OAuth2 applications that users sign in through",
    "Mailbox": "Mailboxes (folders) of an account",
    "Message": "Messages: list, search, read, change, store",
    "Multi Message Actions": "All messages of a mailbox that a search finds: change, move, delete",
    "Submit": "Sending mail",
    "Delivery Test": "What a receiver makes of the mail of an account",
    "SMTP Gateway": "Relays that mail can be sent through",
    "Blocklists": "Who does not want the mail of a list",
    "Templates": "Texts of messages with places to fill in",
    "Export": "The mail of a period as a file",
    "Outbox": "Mail that waits to be sent",
    "Logs": "What went over the connections of an account",
    "Events": "What happened to accounts and messages",
    "Webhooks": "Where events are delivered",
    "Access Tokens": "Who may call this API",
    "Settings": "Settings that change while the gateway runs",
    "Stats": "Figures of this installation",
    "Gateway": "The state of this installation",
}

#: Octets of path and query that the HTTP server takes.
LONGEST_ADDRESS = 65_534

#: Status codes that any operation can answer, with what they mean.
STATUS_TEXT: Mapping[int, str] = {
    400: "A value is wrong; `fields` names it",
    401: "No access token, or not a valid one",
    403: "The token does not allow this",
    404: "There is no such thing",
    405: "The path does not take this method",
    409: "The thing exists already, or is in another state",
    413: "Too large",
    414: f"The address is longer than {LONGEST_ADDRESS} octets, which what is documented here never is; without a body",
    415: "The body is not JSON",
    416: "There is no such part",
    422: "The mail service cannot do this, or the message cannot be rendered",
    429: "Too many calls; try again after `ttl` seconds",
    431: "Header and address are longer than a million octets; without a body",
    500: "The gateway failed",
    502: "The mail service failed, and the outcome may be unknown",
    503: "The account, its worker or the gateway's state is not available now; `state` and `remedy` say why",
    504: "No answer within the time the caller allowed; the work may still finish",
}
# What the HTTP server answers before the gateway sees the request.
_OF_THE_SERVER = (414, 431)
_ALWAYS = (400, 401, 403, 429, 500, 503, *_OF_THE_SERVER)
_FOR_ACCOUNTS = (404, 502, 503, 504)


def openapi_document(
    operations: Sequence[Operation],
    *,
    server_url: str = "/",
    examples: Mapping[str, Mapping[str, Any]] = EXAMPLES,
) -> Schema:
    """Return the document of these operations.

    Args:
        server_url: where the API is.
        examples: by operation id, {"request": value, "response": value}.
    """
    ordered = sorted(operations, key=lambda operation: (operation.path, operation.method))
    structs = {cls for operation in ordered for cls in (operation.body, operation.returns) if isinstance(cls, type)}
    schemas = dict(sorted({**component_schemas(structs | {Remedy}), "Error": bounded(_ERROR)}.items()))
    paths: dict[str, Schema] = {}
    for operation in ordered:
        shown = examples.get(operation.operation_id, {})
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, shown)
    used = {operation.tag for operation in ordered}
    statuses = sorted({status for operation in ordered for status in _statuses(operation)})
    known = {name: text for name, text in TAGS.items() if name in used} | {
        name: name for name in sorted(used - TAGS.keys())
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Email gateway",
            "version": gateway.__version__,
            "description": "One REST API in front of many kinds of mailbox.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server_url}],
        "tags": [{"name": name, "description": text} for name, text in known.items()],
        "security": [{"bearerToken": []}, {"queryToken": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": _PARAMETERS,
            "responses": {f"Error{status}": _error_response(status) for status in statuses},
            "securitySchemes": _SECURITY,
        },
    }


_SECURITY: Schema = {
    "bearerToken": {"type": "http", "scheme": "bearer", "bearerFormat": "64 hex digits"},
    "queryToken": {"type": "apiKey", "in": "query", "name": "access_token"},
}
_PARAMETERS: Schema = {
    "Timeout": {
        "name": "X-EE-Timeout",
        "in": "header",
        "description": "Milliseconds to wait for an answer; `X-Gateway-Timeout` is the same",
        "schema": {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The caller's own name of this request: for 24 hours the same request with the same key is "
        "answered as the first one was, and nothing is done again",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": f"^{IDEMPOTENCY_KEY}$"},
    },
    "Range": {
        "name": "Range",
        "in": "header",
        "description": "The part that is wanted, e.g. `bytes=1000-`; only the first form of RFC 9110 with one range",
        "schema": {"type": "string", "maxLength": 256},
    },
}

_ERROR: Schema = {
    "title": "Error",
    "description": "An error, with the members of RFC 9457 beside the compatible ones; details depend on `code`",
    "type": "object",
    "properties": {
        "statusCode": {"type": "integer"},
        "error": {"type": "string", "description": "Name of the status"},
        "message": {"type": "string", "description": "For people; may change"},
        "code": {"type": "string", "description": "For programs; does not change"},
        "fields": {
            "type": "array",
            "description": "What is wrong with the request",
            "items": {
                "type": "object",
                "properties": {"message": {"type": "string"}, "key": {"type": "string"}},
                "required": ["message", "key"],
            },
        },
        "state": {"type": "string", "description": "State of the account"},
        "remedy": {"$ref": REFERENCE.format(name="Remedy")},
        "requestedScope": {"type": "string"},
        "requiredPermission": {
            "type": "object",
            "properties": {"action": {"type": "string"}, "group": {"type": "string"}},
        },
        "remoteAddress": {"type": "string"},
        "ttl": {"type": "integer", "description": "Seconds until another try makes sense"},
        "job": {"type": "string", "description": "Id of the work that goes on"},
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "requestId": {"type": "string", "description": "Also in the gateway's log"},
    },
    "required": ["statusCode", "error", "message", "code", "type", "title", "status", "detail", "requestId"],
}


def _error_response(status: int) -> Schema:
    text = STATUS_TEXT[status]
    if status in _OF_THE_SERVER:
        return {"description": text}
    schema = {"$ref": REFERENCE.format(name="Error")}
    media_types = ("application/json", "application/problem+json")
    return {"description": text, "content": {media_type: {"schema": schema} for media_type in media_types}}


# --- operations -------------------------------------------------------------------------------------------------------


def _operation(operation: Operation, examples: Mapping[str, Any]) -> Schema:
    found: Schema = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "x-token-action": operation.action,
        "x-token-group": operation.group,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": _responses(operation, examples),
    }
    if operation.description:
        found["description"] = operation.description
    if operation.body is not None:
        required = any(field.required for field in struct_info(operation.body).fields)
        content = _content("application/json", _reference(operation.body), examples.get("request"))
        found["requestBody"] = {"required": required, "content": content}
    if operation.ranges:
        found["parameters"].append({"$ref": "#/components/parameters/Range"})
    if operation.idempotent:
        found["parameters"].append({"$ref": "#/components/parameters/IdempotencyKey"})
    if operation.scope is None:
        found["security"] = []
    else:
        found["x-token-scope"] = operation.scope
        found["parameters"].append({"$ref": "#/components/parameters/Timeout"})
    return found


def _path_parameters(operation: Operation) -> Iterable[Schema]:
    for name in operation.parameters:
        parameter = PATH_PARAMETERS.get(name, OTHER)
        length = {"minLength": 1, "maxLength": parameter.max_length}
        schema = {"type": "string", **({"enum": sorted(parameter.values)} if parameter.values else length)}
        yield {"name": name, "in": "path", "required": True, "description": parameter.description, "schema": schema}


def _query_parameters(operation: Operation) -> Iterable[Schema]:
    if operation.query is None:
        return
    schemas = parameter_schemas(operation.query)
    for field in struct_info(operation.query).fields:
        schema = dict(schemas[field.encode_name])
        parameter: Schema = {"name": field.encode_name, "in": "query", "required": field.required}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        yield {**parameter, "schema": schema}


def _responses(operation: Operation, examples: Mapping[str, Any]) -> Schema:
    if isinstance(operation.returns, str):
        content = _content(operation.returns, {"type": "string", "format": "binary"}, None)
    else:
        content = _content("application/json", _reference(operation.returns), examples.get("response"))
    responses: Schema = {"200": {"description": "Done", "content": content}}
    if operation.ranges:
        responses["206"] = {"description": "The part that was asked for", "content": content}
    for status in sorted(_statuses(operation)):
        responses[str(status)] = {"$ref": f"#/components/responses/Error{status}"}
    return responses


def _reference(cls: type) -> Schema:
    return {"$ref": REFERENCE.format(name=cls.__name__)}


def _statuses(operation: Operation) -> set[int]:
    if operation.scope is None:
        return {400, 500, *_OF_THE_SERVER, *operation.errors}
    statuses = {*_ALWAYS, *operation.errors}
    if "account" in operation.parameters:
        statuses.update(_FOR_ACCOUNTS)
    elif operation.parameters:
        statuses.add(404)
    if operation.body is not None:
        statuses.update((413, 415))
    if operation.ranges:
        statuses.add(416)
    return statuses


def _content(media_type: str, schema: Schema, example: Any) -> Schema:
    content: Schema = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {media_type: content}
