"""What `lb init` writes: a first source, small enough to be read at once, and a first host.yaml. Pure.

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
_HOST = """\
# This host's settings: /etc/lb/host.yaml, or the file that --host-config or LB_HOST_CONFIG names. It stands in no
# repository, since a repository is not trusted with the host. "lb schema host" describes every field.

# This host's name, where a source is for several hosts (lb.yaml: hosts).
# host: nas1

# What containers may have of this host beyond the ordinary. What is not allowed is denied, and the refusal prints the
# line that would allow it. "services" are names like media/jellyfin, media/* or "*".
policy:
{policy}
  # Where images may come from; any when left out.
  # registries: [docker.io, ghcr.io/acme]
  # Images only as NAME@sha256:...
  # require_digests: true

# Secrets are files: <folder>/<namespace>/<name>.
# secrets: /etc/lb/secrets

# Where the subnets of new networks are cut from.
# network_pool: 10.208.0.0/12

# Where the state is, and where the HTTP API listens, unless the command line says otherwise.
# state: /var/lib/lb
# listen: 127.0.0.1:2967
# token_file: /etc/lb/token

# What "lb daemon" follows where it is given no PATH; and variables of that source, for every command.
# sources:
#   - name: shop
#     path: /srv/shop
#     env_files: [/etc/lb/shop.env]

# Commands that "lb daemon" tells, as JSON on standard input: failed, recovered, drift.
# notify:
#   - command: [/usr/local/bin/tell-me]
#     events: [failed, recovered]
"""
_POLICY = {
    "default": """\
  allow: []
  # allow:
  #   - services: [media/jellyfin]
  #     binds: [/srv/media:ro, /srv/cache:rw]
  #     devices: [/dev/dri]
  #   - services: [infra/vpn]
  #     cap_add: [NET_ADMIN]
  #     network_mode: host
""",
    "homelab": """\
  allow:
    # Everybody may read and write below /srv, where the data of services at home often is.
    - services: ["*"]
      binds: [/srv:rw]
    # Players of media may use the graphics card.
    # - services: [media/*]
    #   devices: [/dev/dri]
    # Home automation finds devices on the host's own network, and talks to a stick.
    # - services: [home/assistant]
    #   network_mode: host
    #   devices: [/dev/ttyUSB0]
    # A VPN makes interfaces of its own.
    # - services: [infra/vpn]
    #   cap_add: [NET_ADMIN]
    #   devices: [/dev/net/tun]
""",
}
PROFILES = tuple(_POLICY)
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


def host_yaml(profile: str) -> str:
    """`profile` is one of PROFILES."""
    return _HOST.format(policy=_POLICY[profile].rstrip())


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
