"""Who may speak, and as what: CURVE keys and the allow-list.

Each component has a key pair (``NAME.key`` public, ``NAME.key_secret`` private, mode 0600). The
orchestrator's allow-list is a text file, a line a key::

    # role    name    public key (40 characters of Z85)
    client    alice   rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7
    server    ault14  Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID
    operator  root    …

It is read again when it changes; a key taken out of it is refused from its next message on, also on a
connection that is already open. Without keys there is no encryption and no way to tell users apart: then
the orchestrator binds to loopback only, and everybody there is the operator.
"""

from __future__ import annotations

import os
import string
import threading
from dataclasses import dataclass
from pathlib import Path

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from batfs.errors import InputError, unknown
from batfs.files import write_text
from batfs.texts import utf8_text

ROLES = ("client", "server", "operator")


@dataclass(frozen=True, slots=True)
class Peer:
    """A known speaker. ``anybody``: there are no keys; whoever reaches the loopback may say all things."""

    role: str
    name: str
    anybody: bool = False


LOCAL = Peer("operator", "local", anybody=True)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Z85 text of a CURVE key pair; ``secret`` is None for somebody else's."""

    public: bytes
    secret: bytes | None = None


# ASCII, so that no two names look alike
_NAME = frozenset(string.ascii_letters + string.digits + "-_.")
_Z85 = frozenset(string.ascii_letters + string.digits + ".-:+=^!/*?&<>()[]{}@%$#")


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """Changes whenever the file does, also when its size and its time of change were put back."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)


def make_keys(directory: Path, name: str) -> tuple[Path, Path]:
    """Create ``name.key`` and ``name.key_secret`` in ``directory`` (0700); never overwrites. Returns both."""
    if not name or not set(name) <= _NAME or len(name) > 100:
        raise InputError(f"the name {name!r} may hold letters, digits, '-', '_' and '.' only")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    public_file, secret_file = directory / f"{name}.key", directory / f"{name}.key_secret"
    for path in (public_file, secret_file):
        if path.exists():
            raise InputError("exists already; keys are never overwritten", file=path)
    public, secret = zmq.curve_keypair()
    handle = os.open(secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(f"# batfs secret key of {name}: keep it to yourself\n")
        stream.write(f"public {public.decode()}\nsecret {secret.decode()}\n")
    write_text(public_file, f"# batfs public key of {name}\npublic {public.decode()}\n")
    return public_file, secret_file


def read_key(path: Path) -> KeyPair:
    """The keys in a ``.key`` or ``.key_secret`` file."""
    text = utf8_text(path)
    found: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or words[0] not in ("public", "secret") or len(words[1]) != 40:
            raise InputError("expected 'public KEY' or 'secret KEY'", file=path, place=f"line {number}")
        found[words[0]] = words[1].encode()
    if "public" not in found:
        raise InputError("holds no public key", file=path)
    if "secret" in found and path.stat().st_mode & 0o077:
        raise InputError("others can read this secret key", file=path, hint=f"chmod 600 {path.name}")
    return KeyPair(found["public"], found.get("secret"))


def _peers(text: str, path: Path) -> dict[str, Peer]:
    """Who stands on a list, by key. InputError with the line."""
    peers: dict[str, Peer] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = f"line {number}"
        if len(words) != 3 or len(words[2]) != 40 or not set(words[2]) <= _Z85:
            raise InputError("expected 'role name public-key'", file=path, place=place)
        if not set(words[1]) <= _NAME:
            raise InputError(
                f"the name {words[1]!r} may hold letters, digits, '-', '_' and '.' only",
                file=path,
                place=place,
            )
        if words[0] not in ROLES:
            raise unknown("role", words[0], ROLES, file=path, place=place)
        if words[2] in peers:
            raise InputError("this key stands here twice", file=path, place=place)
        peers[words[2]] = Peer(words[0], words[1])
    return peers


def add_to_allow_list(path: Path, role: str, name: str, public_file: Path) -> None:
    """Add a line to the allow-list (created if need be); the whole list must stay valid."""
    key = read_key(public_file).public.decode()
    before = "# role name public-key\n"
    if path.exists():
        AllowList(path)  # what is no list is left as it is
        before = utf8_text(path)
    if before and not before.endswith("\n"):
        before += "\n"
    after = f"{before}{role} {name} {key}\n"
    _peers(after, path)  # before it is written: a list that is wrong closes the service
    write_text(path, after)


class AllowList:
    """The allow-list file, read again when it changes. Safe to ask from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._peers: dict[str, Peer] = {}
        self._peers = self._read()

    def _read(self) -> dict[str, Peer]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise InputError(f"cannot read the allow-list: {error}", file=self.path) from error
        text = utf8_text(self.path)
        self._stamp = _stamp(status)
        return _peers(text, self.path)

    def peer(self, public_key: str) -> Peer | None:
        """Who has this key now; None when nobody may."""
        self.look()
        return self._peers.get(public_key)

    def look(self) -> str:
        """Read the file again if it changed; what is wrong with it, or nothing.

        Of a list that is missing or malformed the last good one stays in force for those who are connected;
        nobody new is let in until it can be read again (see :meth:`callback`).
        """
        try:
            status = self.path.stat()
            stamp: tuple[int, ...] | None = _stamp(status)
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"
            self._stamp = None
            return self.problem
        if stamp != self._stamp:
            with self._lock:
                try:
                    self._peers = self._read()
                    self.problem = None
                except InputError as error:
                    self._stamp, self.problem = stamp, str(error)
        return self.problem or ""

    def callback(self, domain: str, key: bytes) -> bool:
        """pyzmq's credentials provider: may this key (Z85) connect?"""
        try:
            return self.peer(key.decode("ascii", "replace")) is not None and not self.problem
        except Exception:  # the authenticator's thread must not end; who can't be looked up stays outside
            return False


def start_authenticator(context: zmq.Context[zmq.Socket[bytes]], allowed: AllowList) -> ThreadAuthenticator:
    """Start the thread that answers ZeroMQ's authentication requests from the allow-list."""
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_curve_callback(domain="*", credentials_provider=allowed)
    return authenticator


def serve_with(socket: zmq.Socket[bytes], keys: KeyPair) -> None:
    """Make ``socket`` a CURVE server (before it binds)."""
    socket.curve_secretkey = keys.secret
    socket.curve_publickey = keys.public
    socket.curve_server = True


def connect_with(socket: zmq.Socket[bytes], own: KeyPair, orchestrator: KeyPair) -> None:
    """Make ``socket`` a CURVE client of the orchestrator (before it connects)."""
    socket.curve_secretkey = own.secret
    socket.curve_publickey = own.public
    socket.curve_serverkey = orchestrator.public


def reach(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Connect, to whom it may be. InputError for an endpoint that is none."""
    try:
        socket.connect(endpoint)
    except (zmq.ZMQError, ValueError, TypeError) as error:
        socket.close(0)
        raise InputError(
            f"{endpoint!r} is not an endpoint to connect to ({getattr(error, 'strerror', error)})",
            hint="such as tcp://127.0.0.1:28100",
        ) from None


def is_loopback(endpoint: str) -> bool:
    """Whether a ``tcp://`` endpoint binds to loopback; ``ipc`` and ``inproc`` count as such."""
    if endpoint.startswith(("ipc://", "inproc://")):
        return True
    host = endpoint.removeprefix("tcp://").rsplit(":", 1)[0]
    return host in ("localhost", "[::1]") or (host.startswith("127.") and host.count(".") == 3)
