"""Generated modules of the worst names that protoc accepts are imported, not only parsed."""

from __future__ import annotations

from tests.codegen.projects import Project

WORDS = """
__class__ __name__ __file__ __builtins__ __debug__ __path__ __spec__ __all__ __getattr__ DESCRIPTOR _files
_types _descriptors _routes self req ctx Context Final ABC Path Message Handler Type Route client messages Dispatcher
WorkloadBase TYPE_CHECKING annotations int str type property import class None True False async await yield lambda
Files logging Enum super object globals print exec eval __import__ __init__ __new__ __dict__ __mro__
"""
WORST = WORDS.split()


def test_every_worst_name_can_be_a_message_a_field_a_service_and_a_method(project: Project) -> None:
    messages = "\n".join(f"message {name} {{ optional int32 {name}f = 1; }}" for name in WORST)
    # proto2: there a json_name helps where the JSON names of two fields meet, as some of these do.
    fields = "\n".join(
        f'optional string {name} = {number} [json_name = "j{number}"];' for number, name in enumerate(WORST, 1)
    )
    services = "\n".join(
        f"service {name}S {{ rpc {name}(.p.{name}) returns (.p.All); rpc {name}2(.p.All) returns (.p.{name}); }}"
        for name in WORST
    )
    text = f'syntax = "proto2"; package p; message All {{ {fields} }}\n{messages}\n{services}\n'
    project.write("protos/local/a.proto", text)
    project.write("protos/remote/dep/a.proto", text)
    project.gen(exports=("local/a.proto",), aliases=("dep",))
    found = project.run("""
import importlib, pathlib
root = pathlib.Path("../generated").resolve()
count = 0
for file in sorted(root.rglob("*.py")):
    parts = ("generated", *file.relative_to(root).with_suffix("").parts)
    module = importlib.import_module(".".join(parts))
    assert pathlib.Path(module.__file__) == file, file
    for name in dir(module):
        if name.endswith("Dispatcher") and name != "Dispatcher":
            for route in getattr(module, name).routes:
                handler = getattr(module, name.removesuffix("Dispatcher") + "Handler")
                assert callable(getattr(handler, route.method)), route
                assert route.request.DESCRIPTOR.full_name.startswith("p."), route
                count += 1
print(count)
""")
    assert int(found) == 2 * len(WORST)
