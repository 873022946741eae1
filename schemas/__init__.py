"""The JSON Schemas of what people write and of what programs read, shipped with the package."""
