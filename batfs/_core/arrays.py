"""numpy, loaded by who first uses it.

Its import takes longer than everything else of a small run. What holds numbers for the core, and for small
machines, is an ``array.array`` (see :func:`integers`, :func:`doubles`), which numpy looks at without copying;
a run of jobs that compute and exchange bytes never needs more. So modules take ``np`` from here, and a run
whose policy or model works on arrays pays for numpy at its first attribute.
"""

from __future__ import annotations

from array import array
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    IntArray: TypeAlias = NDArray[np.int64]
    FloatArray: TypeAlias = NDArray[np.float64]
    #: Numbers in a row, of numpy's or of Python's own arrays.
    Integers: TypeAlias = "IntArray | array[int]"
    Doubles: TypeAlias = "FloatArray | array[float]"
else:

    class _Numpy(ModuleType):
        def __getattr__(self, name: str) -> Any:
            import numpy

            found = getattr(numpy, name)
            setattr(self, name, found)  # from now on as quick as numpy's own
            return found

    np = _Numpy("numpy")
    NDArray = IntArray = FloatArray = Integers = Doubles = object

__all__ = [
    "Doubles",
    "FloatArray",
    "IntArray",
    "Integers",
    "NDArray",
    "address",
    "doubles",
    "integers",
    "np",
    "shown",
]


_WHOLE, _REAL = array("l", [0]), array("d", [0.0])  # to repeat one is quicker than to copy so many bytes


def integers(count: int, value: int = 0) -> array[int]:
    """So many int64."""
    return (array("l", [value]) if value else _WHOLE) * count


def doubles(count: int, value: float = 0.0) -> array[float]:
    """So many float64."""
    return (array("d", [value]) if value else _REAL) * count


def address(numbers: Integers | Doubles) -> int:
    """Where the numbers of an array begin in memory (an int64 or float64 one without gaps)."""
    if isinstance(numbers, array):
        return numbers.buffer_info()[0]
    return numbers.ctypes.data


@overload
def shown(numbers: Integers) -> IntArray: ...
@overload
def shown(numbers: Doubles) -> FloatArray: ...
def shown(numbers: Any) -> Any:
    """Numbers as numpy's array, read-only, in the same memory: it shows what is written later too."""
    found = np.asarray(numbers).view()
    found.flags.writeable = False
    return found
