"""The REST face: parse, call one verb or one query, show.

Owns JSON shapes, what each refusal says, and the OpenAPI schema. Must not know rules, other faces
or torch.
"""
