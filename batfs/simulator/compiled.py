"""The kernels as machine code, compiled once by numba and kept on disk.

Numba takes seconds to compile and a third of a second only to be imported, which is more than many a whole
simulation. So its code is kept as a shared library (``compiling`` makes it), which takes less than a
millisecond to load. Where no linker was there to make one, the object code is kept, and LLVM's own loader
(``llvmlite.binding``, some tens of milliseconds) loads it. The file's name says what it was made from, so it
is never stale.
"""

from __future__ import annotations

import binascii
import ctypes
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

KERNEL: Final = "batfs_kernel_entry"
GATHER: Final = "batfs_gather_entry"
BUILTIN: Final = "batfs_kernel_builtin"
GATHER_BUILTIN: Final = "batfs_gather_builtin"
_SOURCES: Final = ("kernels.py", "leaps.py", "gather.py", "compiling.py")

_loaded: dict[str, Any] = {}


class _Definition(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_ONE_ARGUMENT: Final = 0x0008  # METH_O


class Kernels:
    """Compiled entry points on the memory of one engine: ``call(8 * slot + what)``.

    ``builtins``: addresses of the entry points that Python can call by itself, without ``ctypes`` in between
    (which takes a microsecond); None for none.
    """

    def __init__(self, address: int, gather: int, keep: Any, builtins: tuple[int, int] | None = None) -> None:
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self._gather = ctypes.CFUNCTYPE(integer, pointer, pointer)(gather)
        self._function = ctypes.CFUNCTYPE(integer, pointer, pointer, integer, integer)(address)
        self._parts = (address, gather, keep, builtins)  # the machine code lives as long as `keep`
        kernel, gathering = builtins or (0, 0)
        self._definitions = (
            _Definition(b"kernel", kernel, _ONE_ARGUMENT, None),
            _Definition(b"gather", gathering, _ONE_ARGUMENT, None),
        )
        self.call: Callable[[int], int]

    def attach(self, floats: Any, integers: Any) -> None:
        """Work on these two blocks from now on (see ``engine.Engine``)."""
        addresses = (floats.ctypes.data, integers.ctypes.data)
        if self._parts[3] is not None:
            self.call = _builtin(self._definitions[0], addresses)
        else:
            kernel = self._function
            f, i = map(ctypes.c_void_p, addresses)
            self.call = lambda call: int(kernel(f, i, call & 7, call >> 3))

    def gatherer(self, parameters: Any, numbers: Any) -> Callable[[int], int]:
        """The kernel of ``gather`` on these two buffers, which must live as long, as must this object; it
        ignores its argument."""
        addresses = (parameters.ctypes.data, numbers.ctypes.data)
        if self._parts[3] is not None:
            return _builtin(self._definitions[1], addresses)
        gather = self._gather
        p, x = map(ctypes.c_void_p, addresses)
        return lambda _: int(gather(p, x))

    def copy(self) -> Kernels:
        """The same code for another engine."""
        return Kernels(*self._parts)


def _builtin(definition: _Definition, addresses: tuple[int, int]) -> Callable[[int], int]:
    """A built-in function of one argument whose own object is the two addresses as bytes."""
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    function: Callable[[int], int] = make(ctypes.addressof(definition), struct.pack("=qq", *addresses), None)
    return function


def at_hand() -> bool:
    """Whether the machine code is there as a library, so that loading it costs next to nothing."""
    return "kernels" in _loaded or _find(".so") is not None


def available() -> bool:
    """Whether the machine code is there in any form, so that loading it is a matter of milliseconds."""
    return at_hand() or _find(".o") is not None


def load() -> Kernels | None:
    """The compiled kernels, made now if they are not on disk yet; None where that can't be done.

    Without numba, or on a processor it doesn't know, the interpreted kernels do the same, slowly.
    """
    found = _loaded.get("kernels")
    if found is None and "failed" not in _loaded:
        try:
            found = _loaded["kernels"] = _from_disk() or _make()
        except Exception as error:
            _loaded["failed"] = error
    return None if found is None else found.copy()


def _key() -> str:
    """What the code depends on: the texts it is made from, and the kind of machine."""
    here = Path(__file__).parent
    texts = [(here / name).read_bytes() for name in _SOURCES]
    sums = "".join(f"{binascii.crc32(text):08x}" for text in texts)
    return f"{sums}-{sys.platform}-{os.uname().machine}"


def _places() -> list[Path]:
    """Where the code may be, but for the suffix: beside the byte code, else in the user's cache."""
    if "places" not in _loaded:
        name = f"kernels-{_key()}"
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        _loaded["places"] = [Path(__file__).parent / "__pycache__" / name, Path(cache) / "batfs" / name]
    found: list[Path] = _loaded["places"]
    return found


def _find(suffix: str) -> Path | None:
    for place in _places():
        path = place.with_name(place.name + suffix)
        if path.exists():
            return path
    return None


def _from_disk() -> Kernels | None:
    path = _find(".so")
    if path is not None:
        try:
            return _open(path)
        except (OSError, AttributeError):
            pass  # of another C library, or a folder nothing may be executed from
    path = _find(".o")
    if path is not None:
        from batfs.simulator.compiling import link

        return Kernels(*link(path.read_bytes()))
    return None


def _open(path: Path) -> Kernels:
    library = ctypes.CDLL(os.fspath(path))
    kernel, gather, builtin, gathering = (
        ctypes.cast(library[symbol], ctypes.c_void_p).value
        for symbol in (KERNEL, GATHER, BUILTIN, GATHER_BUILTIN)
    )
    if kernel is None or gather is None or builtin is None or gathering is None:
        raise OSError(f"{path} lacks an entry point")
    return Kernels(kernel, gather, library, (builtin, gathering))


def _make() -> Kernels:
    """Compile, keep the result where that is possible, and load it."""
    from batfs.simulator import compiling

    codes = compiling.objects()
    library = compiling.library(codes)
    if library is not None:
        path = _keep(library, ".so")
        if path is not None:
            try:
                return _open(path)
            except (OSError, AttributeError):
                pass
    packed = compiling.pack(codes)
    _keep(packed, ".o")
    return Kernels(*compiling.link(packed))


def _keep(code: bytes, suffix: str) -> Path | None:
    for place in _places():
        path = place.with_name(place.name + suffix)
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(code)
            os.replace(aside, path)
        except OSError:
            continue
        return path
    return None


def ready() -> str:
    """Make the machine code if need be, and say where it is (for set-up scripts)."""
    if load() is None:
        return f"not compiled: {_loaded['failed']}"
    path = _find(".so") or _find(".o")
    if path is not None:
        return str(path)
    return f"compiled, but there is no place to keep it: {' and '.join(str(p.parent) for p in _places())}"


if __name__ == "__main__":
    print(ready())
