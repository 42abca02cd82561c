"""Calls by a contract alone, without generated code: its methods by name, JSON in, JSON out."""

from __future__ import annotations

import re

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from actrzmq.contracts.bundle import Contract
from actrzmq.contracts.complete import imports_first
from actrzmq.contracts.pools import fresh_pool
from actrzmq.errors import ActrConfigError, ActrDecodeError

_NO_FIELD = re.compile(r'essage type "([^"]+)" has no field named "([^"]*)"')
"""How protobuf says it; what follows are names in camel case."""


class Untyped:
    """The methods of one contract, in a descriptor pool of their own."""

    def __init__(self, contract: Contract) -> None:
        files = {file.path: file.parsed() for file in contract.files}
        self._pool = fresh_pool(files[path] for path in imports_first(files))
        self._methods: dict[str, MethodDescriptor] = {}
        for path in files:
            for service in self._pool.FindFileByName(path).services_by_name.values():
                self._methods |= {f"{service.full_name}.{method.name}": method for method in service.methods}

    @property
    def route_keys(self) -> tuple[str, ...]:
        """All methods, in the order of the files."""
        return tuple(self._methods)

    def encode(self, route_key: str, text: str) -> bytes:
        """The request of that method which the JSON `text` describes.

        Names of fields may be written as in the .proto file or in camel case. Raises `ActrConfigError`, naming the
        place, for what is no JSON or does not fit the message.
        """
        method = self._methods[route_key]
        if method.client_streaming or method.server_streaming:
            raise ActrConfigError(f"{route_key} uses `stream` in its .proto file, which this runtime can't call")
        kind: Descriptor = method.input_type
        message = GetMessageClass(kind)()
        if not text.lstrip().startswith("{") and not kind.full_name.startswith("google.protobuf."):
            raise ActrConfigError(f"the JSON is no {kind.full_name}: expected an object, as in {{}}")
        try:
            json_format.Parse(text, message, descriptor_pool=self._pool)
        except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
            reason = self._unknown_field(str(error)) or " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise ActrConfigError(f"the JSON is no {kind.full_name}: {reason}") from None
        return message.SerializeToString()

    def _unknown_field(self, reason: str) -> str | None:
        """A field that is not there, with the names that the .proto file has; None if `reason` is another one."""
        match = _NO_FIELD.search(reason)
        if match is None:
            return None
        fields = ", ".join(field.name for field in self._pool.FindMessageTypeByName(match[1]).fields)
        return f"{match[1]} has no field {match[2]!r}; it has {fields or 'none'}"

    def decode(self, route_key: str, body: bytes) -> str:
        """The response of that method as JSON, with names as in the .proto file. Raises `ActrDecodeError`."""
        kind: Descriptor = self._methods[route_key].output_type
        message: Message = GetMessageClass(kind)()
        try:
            message.ParseFromString(body)
            return json_format.MessageToJson(
                message,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
                descriptor_pool=self._pool,
                ensure_ascii=False,
            )
        except (DecodeError, json_format.SerializeToJsonError, ValueError, TypeError, RecursionError) as error:
            raise ActrDecodeError(
                f"the answer of {route_key} can't be shown as a {kind.full_name} ({error}); it may come from another "
                "version of the contract"
            ) from None
