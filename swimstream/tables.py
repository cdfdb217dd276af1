"""Read a table of TOML or JSON into a frozen class: no unknown key, no silent conversion, all faults at once."""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from swimstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

FILE_BYTES_MAX = 4 * 1024 * 1024
Table = Mapping[str, object]


class _WrongType(UsageError):
    """A value at one place; the place is found while the error travels up."""


def read_toml(path: Path) -> Table:
    """Return the table in the file at `path`; raise `UsageError` naming it if there is none or it is no TOML."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise UsageError(f"{path}: expected at most {FILE_BYTES_MAX} bytes")
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}") from None


def structure(table: object, cls: type[T], *, where: str = "") -> T:
    """Return `table` as a `cls`; raise one `UsageError` with a line per fault, each after `where` if given."""
    try:
        return _converter().structure(table, cls)
    except (cattrs.BaseValidationError, UsageError) as error:
        prefix = f"{where}: " if where else ""
        raise UsageError("\n".join(prefix + fault for fault in _faults(error, ""))) from None


def _faults(error: BaseException, path: str) -> Iterator[str]:
    if isinstance(error, cattrs.ClassValidationError):
        noted, bare = error.group_exceptions()
        for inner, note in noted:
            yield from _faults(inner, f"{path}.{note.name}" if path else note.name)
        for inner in bare:
            yield from _faults(inner, path)
    elif isinstance(error, cattrs.IterableValidationError):
        for inner, place in error.group_exceptions()[0]:
            yield from _faults(inner, f"{path}[{place.index}]")
    elif isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = ", ".join(field.name for field in attrs.fields(error.cl))
        for key in sorted(error.extra_fields):
            yield f"{path}.{key}: unknown key; expected one of {known}".removeprefix(".")
    elif isinstance(error, KeyError):
        yield f"{path}: expected a value, got none"
    elif isinstance(error, _WrongType):
        yield f"{path}: {error}" if path else str(error)
    else:  # raised by the class itself, which names its own field
        yield from (f"{path}.{line}" if path else line for line in str(error).splitlines())


@functools.cache
def _converter() -> cattrs.Converter:
    made = cattrs.Converter(detailed_validation=True)
    made.register_structure_hook(str, _exactly(str, words="text"))
    made.register_structure_hook(int, _exactly(int, words="an integer"))
    made.register_structure_hook(float, _exactly(int, float, words="a number"))
    made.register_structure_hook(bool, _exactly(bool, words="true or false"))
    made.register_structure_hook(Path, lambda value, _: Path(_exactly(str, words="a path")(value, str)))

    def structure_tuple(value: object, kind: Any) -> tuple[object, ...]:  # Any: a type form such as tuple[str, ...]
        if not isinstance(value, list | tuple):
            raise _WrongType(f"expected a list, got {_show(value)}")
        (item,) = get_args(kind)[:1]
        items: Any = list[item]  # type: ignore[valid-type]  # a type that is known at run time only
        return tuple(made.structure(list(value), items))

    def class_hook(cls: type[attrs.AttrsInstance]) -> Callable[[object, type], object]:
        tables: dict[str, Any] = {  # Any: cattrs does not export the type of an override
            field.name: override(struct_hook=_structure_table)
            for field in attrs.fields(attrs.resolve_types(cls))
            if get_origin(field.type) is Mapping
        }
        inner = make_dict_structure_fn(cls, made, _cattrs_forbid_extra_keys=True, **tables)

        def hook(value: object, kind: type) -> object:
            if not isinstance(value, Mapping):
                raise _WrongType(f"expected a table, got {_show(value)}")
            return inner(value, kind)

        return hook

    made.register_structure_hook_func(_is_tuple, structure_tuple)
    made.register_structure_hook_factory(attrs.has, class_hook)
    return made


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _exactly(*kinds: type, words: str) -> Callable[[object, type], Any]:
    def hook(value: object, _: type) -> Any:
        if type(value) not in kinds:
            raise _WrongType(f"expected {words}, got {_show(value)}")
        return value

    return hook


def _structure_table(value: object, _: type) -> Table:
    """Take a table as it is; what may be in it is for the class to say."""
    if not isinstance(value, Mapping):
        raise _WrongType(f"expected a table, got {_show(value)}")
    return value


def _show(value: object) -> str:
    """Return the value as its author wrote it, or nearly so."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
