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
ASKED = 'PyImport_ImportModule("inspect")'


def without_inspect(source: Path) -> None:
    """Let the C of a module ask for what is there already; with the flags defined it takes nothing of it."""
    text = source.read_text()
    if ASKED in text:
        source.write_text(text.replace(ASKED, 'PyImport_ImportModule("sys")'))


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
                extra_compile_args=FLAGS,
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
                without_inspect(Path(source))
    return found


setup(ext_modules=extensions(), options={"bdist_wheel": {"py_limited_api": "cp311"}})
