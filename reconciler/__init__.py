"""`lb`: manifests become desired state, the engine shows observed state, the store remembers recorded state;
a pure plan is made of the three, carried out, recorded, and shown.

    source ─▶ manifests ─▶ desired ──┐
    store  ───────────────▶ recorded ─┼─▶ plan ─▶ apply ─▶ record ─▶ cli
    runtime ──────────────▶ observed ─┘

A cycle is one pass of that line. `tests/test_architecture.py` holds who may import whom.
"""

__version__ = "0.1.0"
