"""The only room that imports `docker`. A module a runtime; each keeps the promises of `reconciler.runtime`."""
