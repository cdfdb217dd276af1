"""Where a function stands, so that another process can find it: module, dotted name, and the file of a script."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from swimstream.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT_MODULE = "__swimstream_main__"
"""The name that a script has in the other process, so that its `if __name__ == "__main__":` does not run there."""


@attrs.frozen(kw_only=True)
class Place:
    """One function at the top of a module, or in a class there."""

    module: str
    qualname: str
    script: str = ""
    """The file to load as `SCRIPT_MODULE`, if the function stands in a script; then `module` is of no use."""

    def __str__(self) -> str:
        return f"{self.module}:{self.qualname}"

    def find(self) -> object:
        """Import the module and return what stands there; raise `UsageError` if nothing does, else what that raises."""
        found: object = _load_script(self.script) if self.script else importlib.import_module(self.module)
        for name in self.qualname.split("."):
            found = getattr(found, name, None)
        if found is None:
            raise UsageError(f"function: {self} is not there in the operator's own process")
        return found


def place_of(function: object, *, field: str) -> Place:
    """Return where `function` stands; raise `UsageError` naming `field` if another process cannot find it there."""
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str) or "<" in qualname:
        raise UsageError(
            f"{field}: expected a function at the top of a module, since a process of its own has to find it by name, "
            f"got {qualname or function!r}"
        )
    if module != "__main__":
        return Place(module=module, qualname=qualname)
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:  # python -m: the module has a name that can be imported
        return Place(module=spec.name, qualname=qualname)
    if file is None or not Path(file).is_file():
        raise UsageError(f"{field}: expected a function of a module or script, got {qualname}, typed in by hand")
    return Place(module=module, qualname=qualname, script=str(Path(file).absolute()))


def _load_script(script: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT_MODULE, script)
    if spec is None or spec.loader is None:
        raise UsageError(f"function: {script} cannot be loaded as a script of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT_MODULE] = module
    spec.loader.exec_module(module)
    return module
