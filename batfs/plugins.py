"""Things registered by name: allocation policies, file-system models, queue policies.

A registry finds a thing three ways: by the name it was registered under (``@POLICIES.register("random")``),
as ``file.py:Name`` (a name in a Python file of the user's), or through an entry-point group that installed
packages fill. Entry points are read only when a name isn't among the built-in ones, or when all are listed;
one that fails to load gives a warning and is skipped. The module of a built-in thing is imported when the
thing is asked for.

On a command line a thing and its options are one word: ``name:key=value,key=value`` (see :func:`parse_spec`).
"""

from __future__ import annotations

import importlib
import sys
import types
import typing
import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from batfs import units
from batfs.errors import BatfsError, InputError, nearest, unknown
from batfs.records import record

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: Stands for the default of an argument that has none.
REQUIRED: Any = object()

# An option annotated with one of these is written with a unit: ``block=64MiB``.
Size: TypeAlias = Annotated[int, units.parse_size]
Seconds: TypeAlias = Annotated[float, units.parse_time]
Bandwidth: TypeAlias = Annotated[float, units.parse_bandwidth]


class PluginError(InputError):
    """Code from outside did what it may not do: ``file`` and ``place`` say where in it."""

    @classmethod
    def of(cls, error: BaseException, story: str) -> PluginError:
        """What ``error``, raised in a plugin, was, after ``story``: who did it, at what simulated time."""
        file, line = raised_in(error)
        if isinstance(error, SystemExit):
            what = f"ended the program (SystemExit: {error.code})"
        else:
            what = f"raised {type(error).__name__}: {error}"
        return cls(f"{story} {what[:500]}", file=file, place=line)

    def after(self, story: str) -> PluginError:
        """The same with ``story`` (when, for which job) before it."""
        return PluginError(f"{story} {self.problem}", file=self.file, place=self.place, hint=self.hint)


def raised_in(error: BaseException) -> tuple[str | None, str | None]:
    """File and line of the innermost frame of ``error`` that isn't in batfs or in Python's library."""
    trace = error.__traceback__
    found: tuple[str | None, str | None] = (None, None)
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.startswith("batfs_plugin_") or (
            module.partition(".")[0] not in ("batfs", "__main__", *sys.stdlib_module_names)
            and "site-packages" not in trace.tb_frame.f_code.co_filename
            # compiled code names a file of its own making: pyarrow/error.pxi
            and "site-packages" not in str(trace.tb_frame.f_globals.get("__file__"))
        ):
            found = (trace.tb_frame.f_code.co_filename, f"line {trace.tb_lineno}")
        trace = trace.tb_next
    return found


def place_in(function: Any) -> tuple[str | None, str | None]:
    """File and line where ``function`` (or a method) begins, as far as it is written in Python."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return (None, None) if code is None else (code.co_filename, f"line {code.co_firstlineno}")


class Unusable(InputError):
    """An answer of a plugin that isn't one: ``problem`` says what was answered."""


def blamed(error: BaseException, policy: Any, story: str) -> BaseException:
    """``error`` in a call of ``policy.schedule``: if that is from outside, with its file and line, and
    ``story`` (when, which job, who) before it."""
    if type(policy).__module__.startswith("batfs."):
        return error
    if isinstance(error, InputError) and not isinstance(error, Unusable):
        return error
    found = PluginError.of(error, story)
    if found.file is not None and not isinstance(error, Unusable):
        return found
    file, line = place_in(policy.schedule)  # what it answered could not be used
    if isinstance(error, Unusable):
        return PluginError(f"{story} {error.problem}", file=file, place=line, hint=error.hint)
    problem = f"{story} answered what can't be used: {type(error).__name__}: {error}"
    return PluginError(problem, file=file, place=line)


@record
class Spec:
    """``name`` (or ``file.py:Name``) and its options as written, in the order written."""

    name: str
    options: Mapping[str, str]

    def __str__(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}:{options}" if options else self.name


def parse_spec(text: str, kind: str = "name") -> Spec:
    """``"lustre:threshold=0.17,priority=0.9"`` or ``"mine.py:Policy:k=4"`` as a :class:`Spec`.

    Raises InputError when the name is empty, an option has no ``=`` or is given twice.
    """
    parts = text.split(":")
    taken = 2 if parts[0].endswith(".py") and len(parts) > 1 else 1
    name, rest = ":".join(parts[:taken]), ":".join(parts[taken:])
    if not name:
        raise InputError(f"{text!r} names no {kind}", hint="expected name or name:key=value,key=value")
    options: dict[str, str] = {}
    for item in rest.split(",") if rest else ():
        key, equals, value = item.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise InputError(f"option {item!r} of the {kind} {name!r} is not key=value", hint=f"in {text!r}")
        if key in options:
            raise InputError(f"option {key!r} of the {kind} {name!r} is given twice", hint=f"in {text!r}")
        options[key] = value.strip()
    return Spec(name, options)


class Registry(Generic[T]):
    """Named things of one ``kind`` ("allocation policy"); ``group`` is their entry-point group.

    ``built_in``: module -> names of the things that register themselves when it is imported.
    """

    def __init__(self, kind: str, group: str, built_in: Mapping[str, Sequence[str]] | None = None) -> None:
        self.kind = kind
        self.group = group
        self._built_in = {name: module for module, names in (built_in or {}).items() for name in names}
        self._things: dict[str, T] = {}
        self._outside: dict[str, T] | None = None

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: the thing below is called ``name``. ValueError if that name is taken."""

        def keep(thing: T) -> T:
            home = self._built_in.get(name)
            if name in self._things or (home is not None and getattr(thing, "__module__", home) != home):
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._things[name] = thing
            return thing

        return keep

    def get(self, name: str) -> T:
        """The thing called ``name`` or found at ``file.py:Name``.

        InputError lists the known names, or says what is wrong with the file.
        """
        if name in self._built_in and name not in self._things:
            importlib.import_module(self._built_in[name])
        if name in self._things:
            return self._things[name]
        file, colon, attribute = name.rpartition(":")
        if colon and file.endswith(".py"):
            return typing.cast(T, _from_file(Path(file), attribute, self.kind))
        outside = self._from_entry_points()
        if name in outside:
            return outside[name]
        if name.endswith(".py"):
            raise InputError(f"{name!r} doesn't say which {self.kind}", hint=f"write {name}:Name")
        raise unknown(self.kind, name, self.known())

    def known(self) -> list[str]:
        """All names, built in and from entry points, sorted."""
        return sorted({*self._built_in, *self._things, *self._from_entry_points()})

    def make(self, text: str, **given: Any) -> Any:
        """Call the thing ``text`` names with its options, converted to the types its signature states.

        ``given`` are arguments from the program itself, not from ``text``; passed if the signature has them.
        """
        spec = parse_spec(text, self.kind)
        thing = self.get(spec.name)
        if not callable(thing):
            raise InputError(f"the {self.kind} {spec.name!r} can't be called")
        options = convert_options(thing, spec, self.kind, given)
        try:
            return thing(**options)
        except BatfsError:
            raise
        except (Exception, SystemExit) as error:
            if not raised_in(error)[0]:
                raise
            raise PluginError.of(error, f"while it was made, the {self.kind} {spec.name!r}") from error

    def make_with(self, text: str, method: str, call: str) -> Any:
        """:meth:`make`, of a thing that has ``method``; InputError shows the ``call`` that it lacks."""
        thing: Any = self.make(text)
        if not callable(getattr(thing, method, None)):
            file, line = place_in(type(thing).__init__)
            raise InputError(f"the {self.kind} {text!r} has no method {call}", file=file, place=line)
        return thing

    def _from_entry_points(self) -> dict[str, T]:
        if self._outside is None:
            from importlib.metadata import entry_points

            self._outside = {}
            for point in sorted(entry_points(group=self.group), key=lambda p: (p.name, p.value)):
                if any(point.name in known for known in (self._built_in, self._things, self._outside)):
                    warnings.warn(
                        f"entry point {point.value!r}: a {self.kind} {point.name!r} exists already; skipped",
                        stacklevel=3,
                    )
                    continue
                try:
                    self._outside[point.name] = point.load()
                except (Exception, SystemExit) as error:  # whatever a foreign module does at import
                    warnings.warn(
                        f"entry point {point.value!r} ({self.kind} {point.name!r}) is broken and skipped: "
                        f"{type(error).__name__}: {error}",
                        stacklevel=3,
                    )
        return self._outside


def _from_file(file: Path, attribute: str, kind: str) -> Any:
    if not file.is_file():
        raise InputError(f"no such file for the {kind} {attribute!r}", file=file)
    # one module per file, so that two names from it share its state; until it is edited
    module_name = f"batfs_plugin_{file.stem}_{abs(hash(file.resolve())):x}"
    status = file.stat()
    version = (status.st_mtime_ns, status.st_size)
    module = sys.modules.get(module_name)
    if module is None or getattr(module, "__batfs_version__", version) != version:
        import importlib.util

        spec = importlib.util.spec_from_file_location(module_name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        setattr(module, "__batfs_version__", version)  # noqa: B010 (a name it doesn't declare)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            what = error.msg if isinstance(error, SyntaxError) else error  # else it names the file again
            raise InputError(
                f"can't be loaded: {type(error).__name__}: {what}", file=file, place=_line_in(error, file)
            ) from error
    if not hasattr(module, attribute):
        public = [
            name
            for name, value in vars(module).items()
            if callable(value) and name[:1] != "_" and getattr(value, "__module__", "") == module_name
        ]
        raise unknown(kind, attribute, public, file=file)
    return getattr(module, attribute)


def _line_in(error: BaseException, file: Path) -> str | None:
    if isinstance(error, SyntaxError) and Path(error.filename or file).name == file.name:
        return f"line {error.lineno}"
    trace, line = error.__traceback__, None
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == file.absolute():
            line = f"line {trace.tb_lineno}"
        trace = trace.tb_next
    return line


def convert_options(
    thing: Callable[..., Any],
    spec: Spec,
    kind: str,
    given: Mapping[str, Any] | None = None,
    *,
    quiet: Container[str] = (),
) -> dict[str, Any]:
    """The keyword arguments of ``thing`` from the texts in ``spec``, by its annotations.

    int, float, bool, str, :data:`Size`, :data:`Seconds`, :data:`Bandwidth`, enumerations given as
    ``Literal`` and their ``| None`` forms are understood; ``**name: type`` takes any option. ``given``
    arguments are added where the signature has them. InputError for what is unknown, missing or wrong. On a
    command line, a size or a time without a unit is noted; not that of an option in ``quiet``, which somebody
    wrote elsewhere.
    """
    named, rest = parameters(thing)
    out: dict[str, Any] = {k: v for k, v in (given or {}).items() if k in named}
    options = [n for n in named if n not in out]
    hints: Mapping[str, Any] = {}
    if spec.options:
        maker: Any = thing
        hints = _hints(maker.__init__ if isinstance(thing, type) else thing)
    for key, text in spec.options.items():
        if key not in options and rest is None:
            close = nearest(key, options)
            raise InputError(
                f"the {kind} {spec.name!r} has no option {key!r}; it has: {', '.join(options) or 'none'}",
                hint=f"did you mean {close!r}?" if close else None,
            )
        hint = hints.get(key if key in options else str(rest), str)
        try:
            out[key] = _convert(text, hint)
            if key not in quiet:
                _note_bare(key, text, hint)
        except ValueError as error:
            raise InputError(f"option {key!r} of the {kind} {spec.name!r}: {error}") from None
        except InputError as error:
            raise InputError(f"option {key!r} of the {kind} {spec.name!r}: {error.problem}") from None
    missing = [n for n, default in named.items() if default is REQUIRED and n not in out]
    if missing:
        raise InputError(
            f"the {kind} {spec.name!r} needs {', '.join(missing)}",
            hint=f"write {spec.name}:{','.join(f'{n}=...' for n in missing)}",
        )
    return out


def _hints(function: Any) -> Mapping[str, Any]:
    """The annotations of ``function`` as types; one that can't be looked up (its name is imported for type
    checkers only) is left out."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # whatever the evaluation of a foreign text raises
        found: dict[str, Any] = {}
        for name, hint in getattr(function, "__annotations__", {}).items():
            alone = types.SimpleNamespace(__annotations__={name: hint})
            try:
                names = getattr(function, "__globals__", {})
                found |= typing.get_type_hints(alone, globalns=names, include_extras=True)
            except Exception:
                continue
        return found


def parameters(thing: Callable[..., Any]) -> tuple[dict[str, Any], str | None]:
    """The arguments of ``thing`` that can be named, with their defaults (or :data:`REQUIRED`), and the name
    of its ``**options`` if it has such."""
    made = getattr(thing, "__new__", None) is object.__new__
    if made and getattr(thing, "__init__", None) is object.__init__:
        return {}, None  # a class without a constructor
    function: Any = thing
    if made and isinstance(thing, type) and type(thing).__call__ is type.__call__:
        function = function.__init__
    if type(function) is types.FunctionType and not {"__wrapped__", "__signature__"} & vars(function).keys():
        return _of_function(function, skip=function is not thing)
    import inspect

    every = inspect.signature(thing).parameters
    named = {
        n: REQUIRED if p.default is p.empty else p.default
        for n, p in every.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    return named, next((n for n, p in every.items() if p.kind is p.VAR_KEYWORD), None)


def _of_function(function: types.FunctionType, *, skip: bool) -> tuple[dict[str, Any], str | None]:
    """:func:`parameters`, without ``inspect``, whose import takes longer than a small run. ``skip``: the
    first is the object itself."""
    code = function.__code__
    count, only = code.co_argcount, code.co_kwonlyargcount
    names, defaults = code.co_varnames, function.__defaults__ or ()
    given = dict(zip(names[count - len(defaults) : count], defaults, strict=True))
    named = {n: given.get(n, REQUIRED) for n in names[max(code.co_posonlyargcount, skip) : count]}
    keywords = function.__kwdefaults__ or {}
    named |= {n: keywords.get(n, REQUIRED) for n in names[count : count + only]}
    behind = count + only + bool(code.co_flags & 4)  # 4: *args, 8: **options
    return named, names[behind] if code.co_flags & 8 else None


_BARE = {units.parse_size: "B", units.parse_time: "s", units.parse_bandwidth: "Bps"}


def _note_bare(key: str, text: str, hint: Any) -> None:
    """Say what a number without a unit was taken for, if there is a command line that says such things."""
    parsing = sys.modules.get("batfs.parsing")
    if parsing is None or not parsing.bare(text):
        return
    for one in (hint, *typing.get_args(hint)):
        if typing.get_origin(one) is Annotated:
            unit = _BARE.get(typing.get_args(one)[1])
            if unit:
                parsing.say(f"note: {key}={text} has no unit; taken as {key}={text}{unit}")


def _convert(text: str, hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        base, parse = typing.get_args(hint)[:2]
        return parse(text) if callable(parse) else _convert(text, base)
    if origin is typing.Union or origin is types.UnionType:
        inner = [a for a in typing.get_args(hint) if a is not type(None)]
        if len(inner) < len(typing.get_args(hint)) and text.lower() == "none":
            return None
        return _convert(text, inner[0])
    if origin is typing.Literal:
        allowed = [str(a) for a in typing.get_args(hint)]
        if text not in allowed:
            raise ValueError(f"{text!r} is not one of {', '.join(allowed)}")
        return text
    if hint is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() not in words:
            raise ValueError(f"{text!r} is not true or false")
        return words[text.lower()]
    if hint is int:
        try:
            whole = int(text)
        except ValueError:
            raise ValueError(f"{text[:40]!r} is not a whole number") from None
        if not -(2**63) <= whole < 2**63:
            raise ValueError(f"{text[:40]!r} is beyond what a number can be here (64 bits)")
        return whole
    if hint is float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number") from None
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{text!r} is not a finite number")
        return value
    return text
