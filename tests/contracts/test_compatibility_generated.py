"""Of generated schemas: what means the same breaks nothing, and each single change of meaning is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from actrzmq.contracts.compatibility import Level, compare
from actrzmq.contracts.fingerprint import file_fingerprint
from tests.contracts.schemas import HEADS, schema
from tests.contracts.test_fingerprint import RICH, SAMENESS

SLOW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCALARS = ("int32", "sint64", "string", "bytes", "bool", "fixed32", "double")

names = st.integers(0, 4).map("n{}".format)


@st.composite
def messages(draw: st.DrawFn, depth: int = 1) -> dict[str, Any]:
    """A message as its parts, to be written out in any order and layout."""
    fields = {}
    for number in draw(st.sets(st.integers(1, 9), max_size=5)):
        kind = draw(st.sampled_from((*SCALARS, "M0", "M1", "E", f"map<string, {draw(st.sampled_from(SCALARS))}>")))
        label = "" if kind.startswith("map") else draw(st.sampled_from(("", "", "optional ", "repeated ")))
        fields[number] = f"{label}{kind} f{number} = {number};"
    if draw(st.booleans()):
        fields[10] = "oneof choice { int32 c10 = 10; string c11 = 11; }"
    nested = draw(st.lists(messages(depth=0), max_size=1)) if depth else []
    return {"fields": fields, "nested": nested, "reserved": draw(st.booleans())}


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """A proto3 file as its parts."""
    return {
        "messages": [draw(messages()), draw(messages())],
        "values": sorted(draw(st.sets(st.integers(1, 5), max_size=3))),
        "methods": draw(st.sets(st.tuples(names, st.sampled_from(("M0", "M1"))), max_size=3)),
    }


def plain(items: list[str]) -> list[str]:
    return items


def message_text(message: dict[str, Any], name: str, order: Callable[[list[str]], list[str]]) -> str:
    parts = [
        *message["fields"].values(),
        *(message_text(nested, f"N{at}", order) for at, nested in enumerate(message["nested"])),
    ]
    if message["reserved"]:
        parts.append("reserved 100 to 110;")
    return f"message {name} {{ {' '.join(order(parts))} }}"


def text(file: dict[str, Any], order: Callable[[list[str]], list[str]] = plain) -> str:
    values = [f"V{number} = {number};" for number in file["values"]]
    methods = [f"rpc {name}{request}({request}) returns (M0);" for name, request in sorted(file["methods"])]
    parts = [
        *(message_text(message, f"M{at}", order) for at, message in enumerate(file["messages"])),
        f"enum E {{ V0 = 0; {' '.join(order(values))} }}",
        f"service S {{ {' '.join(order(methods))} }}",
    ]
    return HEADS["proto3"] + "\n".join(order(parts))


@SLOW
@given(files(), st.randoms(use_true_random=False))
def test_what_differs_in_order_comments_and_layout_only_breaks_nothing(file: dict[str, Any], random: Any) -> None:
    def shuffled(items: list[str]) -> list[str]:
        return [f"/* {at} */ {item}\n" for at, item in enumerate(random.sample(items, len(items)))]

    old, new = schema(a=text(file)), schema(a=text(file, shuffled))
    for level in Level:
        assert compare(old, old, level) == ()
        assert compare(old, new, level) == ()
        assert compare(new, old, level) == ()


@SLOW
@given(files(), files())
def test_schemas_of_one_fingerprint_break_nothing_and_what_breaks_the_wire_breaks_code(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    old, new = schema(a=text(one)), schema(a=text(other))
    if file_fingerprint(old[0]) == file_fingerprint(new[0]):
        assert compare(old, new, Level.FILE) == ()
    if compare(old, new, Level.WIRE):
        assert compare(old, new, Level.FILE)


@pytest.mark.parametrize("case", SAMENESS)
def test_what_leaves_the_fingerprint_alone_breaks_nothing(case: str) -> None:
    make, one, other = SAMENESS[case]
    head = HEADS[make.__name__]
    old, new = schema(a=head + one), schema(a=head + other)
    for level in Level:
        assert compare(old, new, level) == ()
        if case != "room for extensions":  # it has no meaning of its own, but without it nobody can extend
            assert compare(new, old, level) == ()


def all_messages(file: FileDescriptorProto) -> list[DescriptorProto]:
    found, todo = [], list(file.message_type)
    while todo:
        message = todo.pop()
        todo += message.nested_type
        if not message.options.map_entry:
            found.append(message)
    return found


def all_enums(file: FileDescriptorProto) -> list[EnumDescriptorProto]:
    return [*file.enum_type, *(enum for message in all_messages(file) for enum in message.enum_type)]


def all_fields(file: FileDescriptorProto) -> list[FieldDescriptorProto]:
    inside = [field for message in all_messages(file) for field in message.field]
    extensions = [field for message in all_messages(file) for field in message.extension]
    return [*inside, *extensions, *file.extension]


def scalars(file: FileDescriptorProto) -> list[FieldDescriptorProto]:
    return [field for field in all_fields(file) if not field.type_name and not field.HasField("default_value")]


def remove_field(file: FileDescriptorProto, random: Any) -> None:
    message = random.choice([message for message in all_messages(file) if message.field])
    del message.field[random.randrange(len(message.field))]


def renumber(file: FileDescriptorProto, random: Any) -> None:
    random.choice(all_fields(file)).number += 1000


def retype(file: FileDescriptorProto, random: Any) -> None:
    field = random.choice(scalars(file))
    kinds = (FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_FIXED64, FieldDescriptorProto.TYPE_INT32)
    field.type = random.choice([kind for kind in kinds if kind != field.type])


def relabel(file: FileDescriptorProto, random: Any) -> None:
    fields = [field for field in all_fields(file) if not field.type_name.endswith("Entry")]
    field = random.choice(fields)
    labels = (FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED)
    field.label = random.choice([label for label in labels if label != field.label])


def remove_message(file: FileDescriptorProto, random: Any) -> None:
    # One that nothing refers to: protoc takes no other away.
    file.message_type.remove(next(message for message in file.message_type if message.name == "Alone"))


def move_value(file: FileDescriptorProto, random: Any) -> None:
    random.choice(random.choice(all_enums(file)).value).number += 1000


def remove_value(file: FileDescriptorProto, random: Any) -> None:
    enum = random.choice([enum for enum in all_enums(file) if len(enum.value) > 1])
    del enum.value[random.randrange(len(enum.value))]


def remove_method(file: FileDescriptorProto, random: Any) -> None:
    service = random.choice(file.service)
    del service.method[random.randrange(len(service.method))]


def remove_service(file: FileDescriptorProto, random: Any) -> None:
    del file.service[random.randrange(len(file.service))]


def rename_method(file: FileDescriptorProto, random: Any) -> None:
    random.choice(random.choice(file.service).method).name += "X"


def swap_types(file: FileDescriptorProto, random: Any) -> None:
    method = random.choice(random.choice(file.service).method)
    method.input_type, method.output_type = method.output_type, method.input_type


def stream(file: FileDescriptorProto, random: Any) -> None:
    method = random.choice(random.choice(file.service).method)
    setattr(method, random.choice(("client_streaming", "server_streaming")), True)


def default(file: FileDescriptorProto, random: Any) -> None:
    fields = [field for field in scalars(file) if field.label != FieldDescriptorProto.LABEL_REPEATED]
    random.choice(fields).default_value = "1"


MUTATIONS = (
    remove_field,
    renumber,
    retype,
    relabel,
    remove_message,
    move_value,
    remove_value,
    remove_method,
    remove_service,
    rename_method,
    swap_types,
    stream,
    default,
)


def rich() -> FileDescriptorProto:
    file = FileDescriptorProto()
    file.CopyFrom(RICH)
    alone = file.message_type.add(name="Alone")
    # Nothing else in the file looks like it, so it can't have got another name.
    alone.field.add(name="x", number=77, type=FieldDescriptorProto.TYPE_SFIXED64)
    return file


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_single_change_of_meaning_is_found_at_every_level(
    mutate: Callable[[FileDescriptorProto, Any], None], random: Any
) -> None:
    old, new = rich(), rich()
    mutate(new, random)
    assume(new != old)
    assert file_fingerprint(new) != file_fingerprint(old)
    for level in Level:
        assert compare([old], [new], level), level
