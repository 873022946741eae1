"""The read-only HTTP door: the routes of the API reference, answered from a picture. The one door to the framework.

Goes in: `Sources`, the callables that answers come from. Comes out: a `Server`, which listens in a thread of its
own until it is stopped. Nothing here changes anything; reading an object never waits for an engine, since a picture
is made elsewhere and only looked at here. Only logs come from the engine, while they are read.
"""

from .server import Server
from .sources import Limits, Sources

__all__ = ["Limits", "Server", "Sources"]
