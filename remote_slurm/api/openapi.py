"""What the sidecar answers, as an OpenAPI document: `GET /openapi.json`, behind the same token as everything else.

It names what is used of a request; interLink sends whole pods, and what is not named here is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from remote_slurm import __version__

_Schema = Mapping[str, Any]

_NAME: _Schema = {"type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9.-]{0,126}[A-Za-z0-9])?$"}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_OBJECT: _Schema = {"type": "object"}
_OBJECTS: _Schema = {"type": "array", "items": _OBJECT}
_CONTAINER: _Schema = {"type": "object", "required": ["name"], "properties": {"name": _NAME}}
_METADATA: _Schema = {
    "type": "object",
    "required": ["name", "uid"],
    "properties": {
        "name": _NAME,
        "namespace": _NAME,
        "uid": {"type": "string", "format": "uuid"},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_POD: _Schema = {
    "type": "object",
    "description": "A v1.Pod of Kubernetes.",
    "required": ["metadata"],
    "properties": {
        "metadata": _METADATA,
        "spec": {
            "type": "object",
            "properties": {
                "containers": {"type": "array", "items": _CONTAINER},
                "initContainers": {"type": "array", "items": _CONTAINER},
                "volumes": _OBJECTS,
            },
        },
    },
}
_CREATE: _Schema = {
    "type": "object",
    "required": ["pod"],
    "properties": {
        "pod": _POD,
        "container": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "configMaps": _OBJECTS,
                    "projectedvolumemaps": _OBJECTS,
                    "secrets": _OBJECTS,
                },
            },
        },
        "jobScript": {"type": "string"},
    },
}
_LOG: _Schema = {
    "type": "object",
    "required": ["PodUID", "ContainerName"],
    "properties": {
        "Namespace": _NAME,
        "PodUID": _NAME,
        "PodName": {"type": "string"},
        "ContainerName": _NAME,
        "Opts": {
            "type": "object",
            "properties": {
                **{name: {"type": "integer"} for name in ("Tail", "Bytes", "SinceSeconds")},
                **{name: {"type": "boolean"} for name in ("Follow", "Previous", "Timestamps")},
                "SinceTime": {"type": "string", "format": "date-time"},
            },
        },
    },
}

_EXEC = "Run a command in a container: a WebSocket with v5.channel.k8s.io or v4.channel.k8s.io."
_OF_EXEC = ("command", "container", "stdin", "stdout", "stderr", "tty")

_ERRORS = {
    "400": "The request or the pod cannot be carried out as it is.",
    "401": "A token or a certificate is missing.",
    "403": "The client may not ask this.",
    "408": "The body did not come in time.",
    "413": "The body is larger than MaxRequestSize.",
    "415": "The body has a Content-Encoding.",
    "503": "The site cannot be reached, or the sidecar is busy.",
}


def document() -> dict[str, Any]:
    """The OpenAPI document, version 3.1, of all routes."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "remote-slurm", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": {
            "/create": {"post": _operation("Create the job of a pod.", {"oneOf": [_CREATE, _list_of(_CREATE)]}, "422")},
            "/status": {"get": _operation("Report the status of pods; an empty list is the ping.", _list_of(_POD))},
            "/delete": {
                method: _operation("Cancel the job of a pod and remove its files.", _POD, text=True)
                for method in ("post", "delete")
            },
            "/getLogs": {"get": _operation("Stream the log of a container.", _LOG, text=True)},
            "/system-info": {"get": _operation("Report the output of sinfo.")},
            "/pods": {"get": _operation("List all pods at the site.")},
            "/describe": {"get": _operation("Report all that is known of a pod.", query=("pod",))},
            **{
                path: {"get": _operation(_EXEC, text=True, path=names, query=_OF_EXEC)}
                for path, names in (
                    ("/exec/{namespace}/{pod}", ("namespace", "pod")),
                    ("/exec/{namespace}/{pod}/{container}", ("namespace", "pod", "container")),
                    ("/api/v1/namespaces/{namespace}/pods/{pod}/exec", ("namespace", "pod")),
                )
            },
            "/metrics": {"get": _operation("Report figures for Prometheus.", text=True)},
            "/healthz": {"get": _operation("Report whether a restart would help.", text=True)},
            "/readyz": {"get": _operation("Report whether the site's pods are known.", text=True)},
            "/openapi.json": {"get": _operation("Return this document.")},
            "/ui": {"get": _operation("Return the page.", text=True)},
            "/ui/": {"get": _operation("Redirect to the page.", text=True)},
            "/ui/{name}": {"get": _operation("Return a part of the page.", text=True, path="name")},
            "/ui/state": {"get": _operation("Report the state of the site and of its pods.")},
            "/ui/history": {
                "get": _operation("Report the numbers of pods in the last hours, and how long they waited.")
            },
            "/ui/log": {
                "get": _operation("Return the end of the log of a container.", text=True, query=("pod", "container"))
            },
        },
    }


def _list_of(schema: _Schema) -> _Schema:
    return {"type": "array", "items": schema}


def _operation(
    summary: str,
    body: _Schema | None = None,
    *codes: str,
    text: bool = False,
    path: str | tuple[str, ...] = (),
    query: tuple[str, ...] = (),
) -> dict[str, Any]:
    """`codes` are the status codes that it returns besides the usual ones."""
    content = _TEXT if text else {"application/json": {"schema": {"type": ["object", "array"]}}}
    responses = {"200": {"description": "Done.", "content": content}}
    errors = dict.fromkeys(codes, "Slurm refused the job for good.") | _ERRORS
    responses |= {code: {"description": sentence, "content": _TEXT} for code, sentence in sorted(errors.items())}
    operation: dict[str, Any] = {"summary": summary, "responses": responses}
    named = [(name, "path") for name in ([path] if isinstance(path, str) else path)]
    named += [(name, "query") for name in query]
    if named:
        operation["parameters"] = [
            {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}}
            for name, where in named
        ]
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


openapi_routes = web.RouteTableDef()


@openapi_routes.get("/openapi.json")
async def openapi(_: web.Request) -> web.Response:
    return web.json_response(document())
