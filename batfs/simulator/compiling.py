"""Making the kernels' machine code: numba compiles them, the system's linker makes a library of it.

It takes seconds and happens once (see ``compiled``). The code is for any processor of the machine's kind, so
what is kept serves every machine that shares the folder: the kernels gain nothing measurable from one
processor's own instructions.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from types import FunctionType
from typing import Any, Final

from batfs.simulator import gather, kernels
from batfs.simulator.compiled import BUILTIN, GATHER, GATHER_BUILTIN, KERNEL

_FUNCTIONS: Final = (
    *(
        "again",
        "others",
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
    *("settled_least", "above", "paces", "falls", "holds", "jump", "leap"),
    *("solve_dirty", "leave", "solve", "advance", "by_creation"),
)
LINKERS: Final = (("cc", "-nostdlib"), ("gcc", "-nostdlib"), ("clang", "-nostdlib"), ("ld",), ("ld.lld",))


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
    if what == ADVANCE:
        return advance(state)
    if what == START or what == TRANSFER:
        if what == TRANSFER:
            again(state, slot)
        prepare(state, slot)
        if state.latency[slot] > 0.0:
            state.kind[slot] = LATENT
        else:
            enable(state, slot)
        if what == TRANSFER:
            return others(state, slot, advance(state))
    elif what == STOP:
        disable(state, slot)
    else:
        solve_dirty(state)
        return state.info[FAILURE]
    return 0
"""


# the same as a built-in function of Python: its own object is the two addresses as bytes
_BUILTIN_SOURCE: Final = """
def batfs_builtin(own, argument):
    addresses = integers_at(bytes_at(own))
    call = number_of(argument)
    return number(batfs_kernel(floats_at(addresses[0]), integers_at(addresses[1]), call & 7, call >> 3))
"""


_GATHER_SOURCE: Final = """
def batfs_gather(p, x):
    return gather(p, x, integers_at, small_at, floats_at)
"""
_GATHER_BUILTIN_SOURCE: Final = """
def batfs_gather_builtin(own, argument):
    addresses = integers_at(bytes_at(own))
    return number(batfs_gather(integers_at(addresses[0]), floats_at(addresses[1])))
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


def objects() -> list[bytes]:
    """Object code of the entry points (takes numba, and some seconds); the last two need Python's symbols."""
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
    modules = [_entry(numba, signature, space["batfs_kernel"], KERNEL)]
    at = {"integers_at": _at("int64"), "small_at": _at("int32"), "floats_at": _at("float64")}
    space |= at
    space["batfs_kernel"] = numba.njit(**options)(space["batfs_kernel"])
    for name, symbol in (
        ("bytes_at", "PyBytes_AsString"),
        ("number_of", "PyLong_AsLongLong"),
        ("number", "PyLong_FromLongLong"),
    ):
        space[name] = types.ExternalFunction(symbol, types.int64(types.int64))
    exec(_BUILTIN_SOURCE, space)  # noqa: S102 (our own text)
    builtin = _entry(numba, types.int64(types.int64, types.int64), space["batfs_builtin"], BUILTIN)
    outside = {name: space[name] for name in ("bytes_at", "number")}
    space = {**vars(gather), **at, **outside}
    for name in ("countable", "take", "spread"):
        original = getattr(gather, name)
        space[name] = numba.njit(**options, inline="always")(FunctionType(original.__code__, space, name))
    space["gather"] = numba.njit(**options, inline="always")(
        FunctionType(gather.gather.__code__, space, "gather")
    )
    exec(_GATHER_SOURCE, space)  # noqa: S102 (our own text)
    signature = types.int64(types.CPointer(types.int64), types.CPointer(types.float64))
    modules.append(_entry(numba, signature, space["batfs_gather"], GATHER))
    space["batfs_gather"] = numba.njit(**options)(space["batfs_gather"])
    exec(_GATHER_BUILTIN_SOURCE, space)  # noqa: S102 (our own text)
    signature = types.int64(types.int64, types.int64)
    modules += [builtin, _entry(numba, signature, space["batfs_gather_builtin"], GATHER_BUILTIN)]
    machine = _machine()
    return [machine.emit_object(module) for module in modules]


def _entry(numba: Any, signature: Any, function: Any, symbol: str) -> Any:
    """LLVM's module of one entry point, under a name of our own.

    The kernels raise nothing, so what numba's code would call to raise may be absent (weak).
    """
    import llvmlite.binding as llvm

    compiled = numba.cfunc(signature, error_model="numpy")(function)
    module = llvm.parse_assembly(compiled.inspect_llvm().replace(compiled.native_name, symbol))
    outside = [f for f in (*module.functions, *module.global_variables) if f.is_declaration]
    if any(f.name.startswith("llvm.mem") for f in outside):
        # such a call would need the C library's symbols, which llvmlite's loader doesn't give
        raise RuntimeError("a loop of the kernels became a call of memset or memcpy")
    for value in outside:
        if not value.name.startswith("llvm."):
            value.linkage = "external_weak"
    return module


def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu="", features="", opt=3, reloc="pic", codemodel="default")


# ---- as a library, or without a linker ----


def pack(codes: list[bytes]) -> bytes:
    """The objects as one file, for :func:`link` (but for what needs Python's symbols)."""
    return struct.pack("<Q", len(codes[0])) + b"".join(codes[:2])


def library(codes: list[bytes]) -> bytes | None:
    """A shared library of the objects, by the first linker that is there and works; None for none."""
    with tempfile.TemporaryDirectory(prefix="batfs-kernels-") as name:
        folder = Path(name)
        objects = [folder / f"{place}.o" for place in range(len(codes))]
        for path, code in zip(objects, codes, strict=True):
            path.write_bytes(code)
        made = folder / "kernels.so"
        for linker in LINKERS:
            program = shutil.which(linker[0])
            if program is None:
                continue
            done = subprocess.run(
                [program, *linker[1:], "-shared", "-s", "-o", made, *objects],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            if done.returncode == 0 and made.is_file():
                return made.read_bytes()
    return None


def link(code: bytes) -> tuple[int, int, Any]:
    """Addresses of the two entry points, loaded by LLVM itself, and what keeps the code alive."""
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    (first,) = struct.unpack_from("<Q", code)
    for part in (code[8 : 8 + first], code[8 + first :]):
        engine.add_object_file(llvm.ObjectFileRef.from_data(part))
    engine.finalize_object()
    kernel, gathering = (engine.get_function_address(symbol) for symbol in (KERNEL, GATHER))
    if not kernel or not gathering:
        raise RuntimeError("the object file lacks an entry point")
    return kernel, gathering, engine
