"""The types of fields: how a sentence names them, and which pairs an old and a new field refer to."""

from __future__ import annotations

from collections.abc import Iterator

from actrzmq.contracts.breaking.schema import Cardinality, Field, Schema

_VARINT = ("int32", "int64", "uint32", "uint64", "bool", "enum")
_ALIKE: dict[str, int] = {
    kind: group
    for group, kinds in enumerate(
        (_VARINT, ("sint32", "sint64"), ("fixed32", "sfixed32"), ("fixed64", "sfixed64"), ("string", "bytes"))
    )
    for kind in kinds
}


def are_alike(old: Field, new: Field) -> bool:
    """Whether bytes of the one type can be read as the other, if not always to the same value."""
    return old.kind == new.kind or (old.kind in _ALIKE and _ALIKE[old.kind] == _ALIKE.get(new.kind))


def parts(field: Field, schema: Schema) -> tuple[Field, ...]:
    """Key and value of a map; else the field itself."""
    if field.cardinality is not Cardinality.MAP:
        return (field,)
    return tuple(part for _, part in sorted(schema.messages[field.type_name].fields.items()))


def part_pairs(old: Field, new: Field, schemas: tuple[Schema, Schema]) -> Iterator[tuple[Field, Field]]:
    """What has to have the same type in both: the fields, or key and value where both are maps."""
    if old.cardinality is new.cardinality is Cardinality.MAP:
        yield from zip(parts(old, schemas[0]), parts(new, schemas[1]), strict=False)
    else:
        yield old, new


def type_text(field: Field, schema: Schema) -> str:
    """The type as a sentence says it."""
    if field.cardinality is Cardinality.MAP:
        return f"map<{', '.join(type_text(part, schema) for part in parts(field, schema))}>"
    if not field.type_name:
        return field.kind
    return f"group {field.type_name}" if field.kind == "group" else field.type_name
