"""The compiled core: see ``batfs/_core``. Everything else about the package stands in pyproject.toml.

Each module is optional: where there is no C compiler batfs is installed all the same, and runs interpreted.
"""

from __future__ import annotations

from setuptools import Extension, setup

MODULES = ("solver", "loop", "gather", "plans", "amounts", "steps", "copies", "sheets", "nodes", "desk")
LIMITED = "0x030b0000"  # one build for Python 3.11 and all later ones

# no fused multiply-adds, also where the processor has them: the bits are the model's
FLAGS = ["-O3", "-ffp-contract=off"]


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
                define_macros=[("Py_LIMITED_API", LIMITED)],
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
    return found


setup(ext_modules=extensions(), options={"bdist_wheel": {"py_limited_api": "cp311"}})
