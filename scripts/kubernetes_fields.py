#!/usr/bin/env python3
"""Write remote_slurm/cli/kubernetes_fields.json: the fields of Pods, ConfigMaps and Secrets.

They are those of the Kubernetes client for Python that is installed, which is generated from the OpenAPI document of
Kubernetes. Run it after an update of the client: tests/cli/test_cli_fields.py compares them.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parent.parent / "remote_slurm/cli/kubernetes_fields.json"
KINDS = ("V1Pod", "V1ConfigMap", "V1Secret")


def table() -> dict[str, Any]:
    """Each type with its fields, and with the type of each field; empty if it has no fields of its own."""
    import kubernetes
    from kubernetes.client import models

    types: dict[str, dict[str, str]] = {}
    missing = [*KINDS]
    while missing:
        name = missing.pop()
        model = getattr(models, name)
        found = {spelled: _type(model.openapi_types[own]) for own, spelled in model.attribute_map.items()}
        types[name] = dict(sorted(found.items()))
        missing += [each for each in found.values() if each and each not in types and each not in missing]
    source = f"client for Python {kubernetes.__version__} (Apache-2.0), from the OpenAPI document of Kubernetes"
    return {"source": source, "types": dict(sorted(types.items()))}


def _type(text: str) -> str:
    """Of a field or of the items of a list; a mapping has keys of people."""
    found = re.fullmatch(r"(?:[Ll]ist\[)?(V\d\w+)\]?", text)
    return found[1] if found else ""


def text() -> str:
    """One type a line."""
    found = table()
    lines = [f"  {json.dumps(name)}: {json.dumps(fields)}" for name, fields in found["types"].items()]
    return f'{{"source": {json.dumps(found["source"])},\n "types": {{\n' + ",\n".join(lines) + "\n}}\n"


if __name__ == "__main__":
    TABLE.write_text(text())
    sys.stdout.write(f"{TABLE} is written\n")
