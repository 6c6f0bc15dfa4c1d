"""The compiled core: see ``batfs/_core``. Everything else about the package stands in pyproject.toml.

Each module is optional: where there is no C compiler batfs is installed all the same, and runs interpreted.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup

MODULES = (
    *("solver", "loop", "gather", "plans", "amounts", "steps", "copies", "sheets", "nodes"),
    *("books", "desk", "reading", "waiting", "tallies", "flows"),
)
LIMITED = "0x030b0000"  # one build for Python 3.11 and all later ones

# -O3 unrolls and vectorizes loops of one or two rounds, which most here are: plans take a tenth longer;
# no fused multiply-adds, also where the processor has them: the bits are the model's
FLAGS = ["-O2", "-ffp-contract=off"]

CALLS = "batfs/_core/calls.h"

# What Cython's limited form asks Python's module inspect for at each start, although it never changes. The
# import of inspect takes longer than that of the whole core.
CODE_FLAGS = {
    "CO_OPTIMIZED": 0x1,
    "CO_NEWLOCALS": 0x2,
    "CO_VARARGS": 0x4,
    "CO_VARKEYWORDS": 0x8,
    "CO_GENERATOR": 0x20,
    "CO_COROUTINE": 0x80,
    "CO_ASYNC_GENERATOR": 0x200,
}
#: What stands in the C, and what is to stand there. With the flags defined it takes nothing of inspect: it
#: may ask for a module that is there already. With CALLS arguments go in a row before Python 3.12 too.
INSTEAD = {
    'PyImport_ImportModule("inspect")': 'PyImport_ImportModule("sys")',
    "#define CYTHON_VECTORCALL (__PYX_LIMITED_VERSION_HEX >= 0x030C0000)": "#define CYTHON_VECTORCALL 1",
}


def adapt(source: Path) -> None:
    """Change what :data:`INSTEAD` says; what isn't there (a later Cython's) stays as it is."""
    text = changed = source.read_text()
    for old, new in INSTEAD.items():
        changed = changed.replace(old, new)
    if changed != text:
        source.write_text(changed)


def extensions() -> list[Extension]:
    """The core's modules, translated to C; none where Cython is missing."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    found: list[Extension] = cythonize(
        [
            Extension(
                f"batfs._core.{name}",
                [f"batfs/_core/{name}.py"],
                define_macros=[("Py_LIMITED_API", LIMITED), *((n, str(v)) for n, v in CODE_FLAGS.items())],
                py_limited_api=True,
                depends=[CALLS],
                extra_compile_args=[*FLAGS, "-include", CALLS],
                optional=True,
            )
            for name in MODULES
        ],
        build_dir="build",
        quiet=True,
        compiler_directives={"binding": False},
    )
    for extension in found:
        for source in extension.sources:
            if source.endswith(".c"):
                adapt(Path(source))
    return found


setup(ext_modules=extensions(), options={"bdist_wheel": {"py_limited_api": "cp311"}})
