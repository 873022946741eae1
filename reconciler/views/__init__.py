"""Records become the JSON of the API reference, for the command line and for HTTP alike. Pure.

`objects` makes one namespace, service or activity entry; `picture` all that the API answers from, as bytes. Keys
come in the order of the reference, ours after them. Nothing here holds a resolved value of a variable, except
where the reference asks for a number (memory, replicas, ports) and the engine shows which one it is.
"""

from .objects import activity_json, namespace_json, service_json
from .picture import Body, LogSource, NamespaceView, Picture, ServiceView, picture

__all__ = [
    "Body",
    "LogSource",
    "NamespaceView",
    "Picture",
    "ServiceView",
    "activity_json",
    "namespace_json",
    "picture",
    "service_json",
]
