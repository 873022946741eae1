"""What `lb init` writes: a first source, small enough to be read at once. Pure.

In: a name for the source. Out: the text of each file, by path. The schemas lie beside it, for editors; the first line
of each YAML file names its schema, which the YAML language server reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

SCHEMAS = ".vscode/lb"
_LINE = "# yaml-language-server: $schema={}\n"
_LB_YAML = """\
# Settings of this source; "lb schema source" describes all of them.
name: {name}
namespace: {name}
variables:
  PORT: 8080
"""
_NAMESPACE = """\
# A network of its own, with services in it.
apiVersion: lb/v1
kind: Namespace
meta:
  name: {name}
"""
_SERVICE = """\
# One container of nginx that serves the folder site at http://127.0.0.1:8080/.
# "lb schema" describes every field; README.md of lb has a table of them.
apiVersion: lb/v1
kind: Service
meta:
  name: web
  description: a first page
spec:
  image: nginx:1.28
  memory: 64 # MiB
  ports:
    - 127.0.0.1:${PORT}:80
  volumes:
    - ./site:/usr/share/nginx/html:ro
"""
_PAGE = "<!doctype html>\n<title>{name}</title>\n<h1>{name} works</h1>\n"
_GITIGNORE = "# Values that must not be committed; pass them with --env-file.\n.env\n.env.*\n!.env.example\n"


def name_of(folder: str) -> str:
    """A name for a source in a folder of this name."""
    return re.sub("[^a-z0-9]+", "-", folder.lower())[:63].strip("-") or "demo"


def files(name: str, schemas: Mapping[str, Any]) -> dict[str, str]:
    """`schemas` are those of a manifest and of lb.yaml ("source")."""
    found = {f"{SCHEMAS}/{key}.json": _json(value) for key, value in schemas.items()}
    return {
        "lb.yaml": _LINE.format(f"{SCHEMAS}/source.json") + _LB_YAML.format(name=name),
        "namespace.yaml": _LINE.format(f"{SCHEMAS}/manifest.json") + _NAMESPACE.format(name=name),
        "web.yaml": _LINE.format(f"{SCHEMAS}/manifest.json") + _SERVICE,
        "site/index.html": _PAGE.format(name=name),
        **found,
    }


def habits() -> dict[str, str]:
    """Files that a folder may well have already: then they are left as they are."""
    editor = {"yaml.schemas": {f"{SCHEMAS}/manifest.json": ["*.yaml", "*.yml"], f"{SCHEMAS}/source.json": ["lb.yaml"]}}
    return {".gitignore": _GITIGNORE, ".vscode/settings.json": _json(editor)}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
