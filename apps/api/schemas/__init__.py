"""The JSON that the API takes and gives, by subject; a name here is public (docs/api.md).

Times are UTC, ISO 8601. NaN and Inf become null; where they matter (`Series`) they are flagged.
What comes in are plain pydantic models: Ninja's `Schema` reads anything that has attributes, so it
takes a list for an object without fields and drops unknown fields.
"""
