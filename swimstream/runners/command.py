"""A command that runs an instance: any program, unchanged. Its arguments and its environment tell it all.

A placeholder is a name in braces, `{parameters.topic}` or `{index}`. Only names are placeholders: `{a: .b}` of jq and
`{print $1}` of awk stay as they are, and `{{index}}` is the text `{index}`. There is no shell in between unless one is
asked for, so what a parameter holds is one argument and never a piece of a program. For the same reason the text for a
shell has no placeholders: it reads the variables (`"$SWIMSTREAM_PARAMETER_TOPIC"`), which no shell takes for syntax.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from swimstream.errors import UsageError

if TYPE_CHECKING:
    from swimstream.core.effects import StartInstance
    from swimstream.model.job import Parameter

PLACEHOLDER = re.compile(r"\{\{([A-Za-z_][\w.-]*)\}\}|(?<!\$)\{([A-Za-z_][\w.-]*)\}")
"""A literal `{{name}}`, or a placeholder `{name}`; `${NAME}` is neither, for texts that a shell is to read."""
NAMES = ("instance", "job", "operator", "index", "parallelism", "epoch", "kind", "worker", "resume_from")
PARAMETERS = "parameters."
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OWN_PREFIX = "SWIMSTREAM_"
REPORT_FD = 3
"""Where a command may say how far it has come; see `report_lines.py`."""
ARGUMENTS_MAX = 256
TEXT_BYTES_MAX = 65_536


def _to_argv(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UsageError(f"argv: expected a list of a program and its arguments, got {value!r}")
    return tuple(value)


def _check_texts(_: object, attribute: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    if len(value) > ARGUMENTS_MAX:
        raise UsageError(f"{attribute.name}: expected at most {ARGUMENTS_MAX}, got {len(value)}")
    for position, text in enumerate(value):
        _check_text(f"{attribute.name}[{position}]", text)
        _check_placeholders(f"{attribute.name}[{position}]", text)


def _check_env(_: object, attribute: attrs.Attribute[Mapping[str, str]], value: object) -> None:
    if not isinstance(value, Mapping):
        raise UsageError(f"{attribute.name}: expected a table of texts, got {value!r}")
    for key, text in value.items():
        if not isinstance(key, str) or not VARIABLE.fullmatch(key):
            raise UsageError(f"{attribute.name}: expected names of letters, digits and '_', got {key!r}")
        if key.startswith(OWN_PREFIX):
            raise UsageError(f"{attribute.name}.{key}: names that begin with {OWN_PREFIX} are set by the worker")
        _check_text(f"{attribute.name}.{key}", text)
        _check_placeholders(f"{attribute.name}.{key}", text)


def _check_line(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    _check_text(attribute.name, value)


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{field}: expected text, got {value!r}")
    if "\0" in value:
        raise UsageError(f"{field}: expected text without a NUL character, which no command can be given")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise UsageError(f"{field}: expected text that UTF-8 can hold, got {value!r}") from None
    if size > TEXT_BYTES_MAX:
        raise UsageError(f"{field}: expected at most {TEXT_BYTES_MAX} B, got {size} B")


def _check_placeholders(field: str, text: str) -> None:
    for found in PLACEHOLDER.finditer(text):
        name = found[2]
        if name is not None and name not in NAMES and (not name.startswith(PARAMETERS) or name == PARAMETERS):
            raise UsageError(
                f"{field}: {{{name}}} is no placeholder; expected one of {', '.join(NAMES)} or {PARAMETERS}NAME, "
                f"or {{{{{name}}}}} for the text itself"
            )


def _copied(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def _to_folder(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


@attrs.frozen(kw_only=True)
class Command:
    """A program with its arguments, run once for each instance. Exactly one of `argv` and `shell` is given."""

    argv: tuple[str, ...] = attrs.field(default=(), converter=_to_argv, validator=_check_texts)
    """The program and its arguments, with placeholders; at most 256 of at most 64 KiB each."""
    shell: str = attrs.field(default="", validator=_check_line)
    """A text for `/bin/sh -c`, without placeholders: it reads the variables, such as `SWIMSTREAM_INDEX`."""
    env: Mapping[str, str] = attrs.field(factory=dict, converter=_copied, validator=_check_env)
    """Variables beside those of the worker, with placeholders."""
    cwd: Path | None = attrs.field(default=None, converter=_to_folder)
    """Where it runs; None: where the worker does."""

    def __attrs_post_init__(self) -> None:
        """Check what one field alone cannot tell."""
        if bool(self.argv) == bool(self.shell):
            raise UsageError("argv: expected a program and its arguments, or else a text as shell, and not both")

    @classmethod
    def parse(cls, line: str, *, field: str) -> Command:
        """Return the command that `line` writes, with words and quotes as in a shell but without one."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"{field}: expected words and quotes as in a shell, got {line!r} ({error})") from None
        try:
            return cls(argv=words)
        except UsageError as error:
            raise UsageError(f"{field}: {error}") from None

    def __str__(self) -> str:
        return self.shell or shlex.join(self.argv)

    def check(self, *, field: str) -> None:
        """Raise `UsageError` if it cannot run on this machine: no such program, no such directory."""
        if self.cwd is not None and not self.cwd.is_dir():
            raise UsageError(f"{field}: cwd: expected a directory, got {self.cwd}")
        if self.shell or PLACEHOLDER.search(self.argv[0]):
            return
        program = self.argv[0]
        at = str((self.cwd or Path()) / program) if os.sep in program else program
        if shutil.which(at, path=self.env.get("PATH")) is None:
            raise UsageError(f"{field}: argv[0]: no program {program!r} is found here")

    def rendered(self, start: StartInstance, *, worker: str) -> Rendered:
        """Return what to run for that instance; raise `UsageError` for a parameter that is not there, or no text."""
        names = _names(start, worker=worker)

        def fill(field: str, text: str) -> str:
            filled = PLACEHOLDER.sub(_filler(field, names, start.spec.parameters), text)
            _check_text(field, filled)
            return filled

        argv = tuple(fill(f"argv[{position}]", text) for position, text in enumerate(self.argv))
        env = {key: fill(f"env.{key}", text) for key, text in sorted(self.env.items())}
        return Rendered(
            argv=("/bin/sh", "-c", self.shell) if self.shell else argv,
            env=env | _variables(start, names),
            cwd="" if self.cwd is None else str(self.cwd),
        )


@attrs.frozen(kw_only=True)
class Rendered:
    """A command of one instance, with everything filled in."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    """Beside what the worker's own environment holds."""
    cwd: str
    """Empty: where the worker runs."""


def _names(start: StartInstance, *, worker: str) -> dict[str, str]:
    """Return what each name stands for; without `resume_from` if that is no text."""
    names = {
        "instance": str(start.instance),
        "job": start.instance.job,
        "operator": start.instance.operator,
        "index": str(start.instance.index),
        "parallelism": str(start.spec.parallelism),
        "epoch": str(start.epoch),
        "kind": start.spec.kind,
        "worker": worker,
    }
    try:
        text = start.resume_from.decode()
    except UnicodeDecodeError:
        return names
    return names if "\0" in text else names | {"resume_from": text}


def _filler(
    field: str, names: Mapping[str, str], parameters: Mapping[str, Parameter]
) -> Callable[[re.Match[str]], str]:
    def fill(found: re.Match[str]) -> str:
        if found[1] is not None:
            return f"{{{found[1]}}}"
        name = found[2]
        if name.startswith(PARAMETERS):
            return _parameter(field, name.removeprefix(PARAMETERS), parameters)
        if name not in names:
            raise UsageError(f"{field}: {{{name}}}: the checkpoint is no text; see SWIMSTREAM_RESUME_FROM_HEX")
        return names[name]

    return fill


def _parameter(field: str, path: str, parameters: Mapping[str, Parameter]) -> str:
    """Return the parameter of that name, or within tables by names with dots between them."""
    if path in parameters:
        return _text_of(parameters[path])
    value: Parameter = parameters
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            known = ", ".join(sorted(parameters)) or "none"
            raise UsageError(f"{field}: the job gives no parameter {path!r} (there are: {known})")
        value = value[key]
    return _text_of(value)


def _text_of(value: Parameter) -> str:
    """Return text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _variables(start: StartInstance, names: Mapping[str, str]) -> dict[str, str]:
    """Return everything about the instance as variables; the parameters as JSON and each by its name, too."""
    variables = {OWN_PREFIX + name.upper(): text for name, text in names.items()}
    variables |= {
        "SWIMSTREAM_RESUME_FROM_HEX": start.resume_from.hex(),
        "SWIMSTREAM_INPUTS": " ".join(map(str, start.inputs)),
        "SWIMSTREAM_OUTPUTS": " ".join(map(str, start.outputs)),
        "SWIMSTREAM_PARAMETERS": _text_of(start.spec.parameters),
        "SWIMSTREAM_REPORT_FD": str(REPORT_FD),
    }
    for key, value in start.spec.parameters.items():
        variable = f"{OWN_PREFIX}PARAMETER_" + re.sub(r"[^A-Z0-9_]", "_", key.upper())
        text = _text_of(value)
        if variable in variables:
            raise UsageError(f"parameters.{key}: another parameter is {variable} already")
        _check_text(f"parameters.{key}", text)
        variables[variable] = text
    return variables
