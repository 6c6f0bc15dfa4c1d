"""The kernels as machine code, compiled once by numba and kept on disk.

Numba takes seconds to compile and a third of a second only to be imported, which is more than many a whole
simulation. So its object code is kept in a file, and loaded with LLVM's own loader (``llvmlite.binding``),
without numba: some tens of milliseconds. The file's name says what it was made from (the kernels' source, the
versions, the processor), so it is never stale.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform as host
import struct
import sys
import sysconfig
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import Any, Final

from batfs.simulator import gather, kernels

_SYMBOL: Final = "batfs_kernel_entry"
_GATHER: Final = "batfs_gather_entry"
_FUNCTIONS: Final = (
    *(
        "prepare",
        "share_row",
        "unshare_row",
        "touch",
        "compact_dirty",
        "enter",
        "leave_row",
        "enable",
        "disable",
    ),
    *("solve_dirty", "leave", "solve", "advance", "by_creation"),
)

_loaded: dict[str, Any] = {}


class Kernels:
    """Compiled entry points on the memory of one engine."""

    def __init__(self, address: int, gather: int, keep: Any) -> None:
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self.gather = ctypes.CFUNCTYPE(integer, pointer, pointer)(gather)
        self._gather_address = gather
        self._function = ctypes.CFUNCTYPE(integer, pointer, pointer, integer, integer)(address)
        self._address = address
        self._keep = keep  # the machine code lives as long as this
        self.advance: Callable[[], int]
        self.start: Callable[[int], int]
        self.stop: Callable[[int], int]
        self.solve: Callable[[], int]

    def attach(self, floats: Any, integers: Any) -> None:
        """Work on these two blocks from now on (see ``engine.Engine``)."""
        f = ctypes.c_void_p(floats.ctypes.data)
        i = ctypes.c_void_p(integers.ctypes.data)
        kernel = self._function
        self.advance = lambda: kernel(f, i, 0, 0)
        self.start = lambda slot: kernel(f, i, 1, slot)
        self.stop = lambda slot: kernel(f, i, 2, slot)
        self.solve = lambda: kernel(f, i, 3, 0)

    def copy(self) -> Kernels:
        """The same code for another engine."""
        return Kernels(self._address, self._gather_address, self._keep)


def available() -> bool:
    """Whether the machine code is already there, so that loading it is a matter of milliseconds."""
    return "kernels" in _loaded or any(path.exists() for path in _places())


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
    import llvmlite.binding as llvm

    parts = [
        Path(kernels.__file__).read_text(encoding="utf-8"),
        Path(gather.__file__).read_text(encoding="utf-8"),
        Path(__file__).read_text(encoding="utf-8"),
        metadata.version("llvmlite"),
        metadata.version("numba"),
        host.machine(),
        sys.platform,
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _places() -> list[Path]:
    """Where the object file may be: beside the byte code, else in the user's cache."""
    if "places" not in _loaded:
        name = f"kernels-{_key()}.o"
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        _loaded["places"] = [Path(__file__).parent / "__pycache__" / name, Path(cache) / "batfs" / name]
    found: list[Path] = _loaded["places"]
    return found


def _from_disk() -> Kernels | None:
    for path in _places():
        try:
            code = path.read_bytes()
        except OSError:
            continue
        return _link(code)
    return None


def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="static",
        codemodel="jitdefault",
        jit=True,
    )


def _link(code: bytes) -> Kernels:
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    (first,) = struct.unpack_from("<Q", code)
    for part in (code[8 : 8 + first], code[8 + first :]):
        engine.add_object_file(llvm.ObjectFileRef.from_data(part))
    engine.finalize_object()
    addresses = [engine.get_function_address(symbol) for symbol in (_SYMBOL, _GATHER)]
    if not all(addresses):
        raise RuntimeError("the object file lacks an entry point")
    return Kernels(addresses[0], addresses[1], engine)


def _make() -> Kernels:
    """Compile, keep the result where that is possible, and link it."""
    code = compile_object()
    for path in _places():
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(code)
            os.replace(aside, path)
        except OSError:
            continue
        break
    return _link(code)


def _views() -> str:
    """Source of the function that finds a State's buffers in the two blocks, in the engine's own layout."""
    lines = [
        "def state_of(fp, ip):",
        f"    slot = ip[{kernels.ROOM}]",
        f"    resource = ip[{kernels.ROOM + 1}]",
        f"    row = ip[{kernels.ROOM + 2}]",
        "    twice = 2 * slot",
        "    a_clock = fp",
        "    a_info = ip",
    ]
    for pointer, first, layout in (("fp", 1, kernels.FLOATS), ("ip", kernels.INFO, kernels.INTEGERS)):
        lines.append(f"    place = {first}")
        for kind, names in layout.items():
            for name in names:
                lines.append(f"    a_{name} = shift({pointer}, place)")
                lines.append(f"    place += {kind}")
    arguments = ", ".join(f"a_{name}" for name in kernels.State._fields)
    lines.append(f"    return State({arguments})")
    return "\n".join(lines) + "\n"


def _shift() -> Any:
    """Pointer arithmetic for numba: ``shift(pointer, n)`` points n elements further."""
    from numba.core import types
    from numba.extending import intrinsic

    def shift(context: Any, pointer: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.gep(arguments[0], [arguments[1]])

        return pointer(pointer, types.int64), generate

    return intrinsic(shift)


_ENTRY_SOURCE: Final = """
def batfs_kernel(fp, ip, what, slot):
    state = state_of(fp, ip)
    if what == 0:
        return advance(state)
    if what == 1:
        prepare(state, slot)
        if state.latency[slot] > 0.0:
            state.kind[slot] = LATENT
        else:
            enable(state, slot)
    elif what == 2:
        disable(state, slot)
    else:
        solve_dirty(state)
        return state.info[FAILURE]
    return 0
"""


_GATHER_SOURCE: Final = """
def batfs_gather(p, x):
    return gather(p, x, integers_at, small_at, floats_at)
"""


def _at(kind: str) -> Any:
    """For numba: the buffer of that kind of number at an address."""
    from numba import types as untyped
    from numba.extending import intrinsic

    types: Any = untyped

    def at(context: Any, address: Any) -> Any:
        found = types.CPointer(getattr(types, kind))

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(found))

        return found(types.int64), generate

    return intrinsic(at)


def compile_object() -> bytes:
    """Object code of the entry points (takes numba, and some seconds)."""
    import numba as untyped
    from numba import types as untyped_types

    numba: Any = untyped
    types: Any = untyped_types

    options = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    space: dict[str, Any] = {**vars(kernels), "shift": _shift()}
    for name in _FUNCTIONS:
        original = getattr(kernels, name)
        space[name] = numba.njit(**options)(FunctionType(original.__code__, space, name))
    exec(_views() + _ENTRY_SOURCE, space)  # noqa: S102 (our own text)
    space["state_of"] = numba.njit(**options)(space["state_of"])
    pointers = (types.CPointer(types.float64), types.CPointer(types.int64))
    signature = types.int64(*pointers, types.int64, types.int64)
    modules = [_entry(numba, signature, space["batfs_kernel"], _SYMBOL)]
    space = {
        **vars(gather),
        "integers_at": _at("int64"),
        "small_at": _at("int32"),
        "floats_at": _at("float64"),
    }
    space["gather"] = numba.njit(**options, inline="always")(
        FunctionType(gather.gather.__code__, space, "gather")
    )
    exec(_GATHER_SOURCE, space)  # noqa: S102 (our own text)
    signature = types.int64(types.CPointer(types.int64), types.CPointer(types.float64))
    modules.append(_entry(numba, signature, space["batfs_gather"], _GATHER))
    machine = _machine()
    codes = [machine.emit_object(module) for module in modules]
    return struct.pack("<Q", len(codes[0])) + b"".join(codes)


def _entry(numba: Any, signature: Any, function: Any, symbol: str) -> Any:
    """LLVM's module of one entry point, under a name of our own."""
    import llvmlite.binding as llvm

    compiled = numba.cfunc(signature, error_model="numpy")(function)
    module = llvm.parse_assembly(compiled.inspect_llvm().replace(compiled.native_name, symbol))
    if any(f.name.startswith("llvm.mem") for f in module.functions if f.is_declaration):
        # such a call would need the C library's symbols, which the loader doesn't give
        raise RuntimeError("a loop of the kernels became a call of memset or memcpy")
    return module


def ready() -> str:
    """Make the machine code if need be, and say where it is (for set-up scripts)."""
    if load() is None:
        return f"not compiled: {_loaded['failed']}"
    for path in _places():
        if path.exists():
            return str(path)
    return f"compiled, but no place to keep it under {sysconfig.get_paths()['purelib']}"


if __name__ == "__main__":
    print(ready())
