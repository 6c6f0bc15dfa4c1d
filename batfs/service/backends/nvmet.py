"""NVMe over Fabrics for real: a logical volume or a partition, exported by the kernel's nvmet target.

For each allocation: carve the block device (``lvm``: a logical volume in the volume group named by the disk's
``device``, or the one on the physical volume it names; ``partition``: a GPT partition on that device), zero
it (``blkdiscard --zeroout``: no tenant reads what another left), then, through the nvmet configfs (Linux,
``drivers/nvme/target/configfs.c``)::

    hosts/HOSTNQN/                               the client that is let in
    subsystems/NQN/attr_allow_any_host = 0
    subsystems/NQN/attr_model = batfs SIZE       what a restarted server reads back
    subsystems/NQN/allowed_hosts/HOSTNQN ->      link to hosts/HOSTNQN
    subsystems/NQN/namespaces/1/device_path, enable
    ports/N/addr_*                               made once, by us, if it isn't there
    ports/N/subsystems/NQN ->                    link: from here on clients can connect

and back in the opposite order. ``dry_run`` prints every step and does none.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from batfs.errors import InputError
from batfs.service.backends.interface import BackendError

CONFIGFS = Path("/sys/kernel/config/nvmet")
_NQN = re.compile(r"[A-Za-z0-9.:_-]{1,200}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")
_DEVICE = re.compile(r"/?[A-Za-z0-9+_.:-]+(/[A-Za-z0-9+_.:-]+)*")
_ADDRESS = re.compile(r"[A-Za-z0-9.:%_-]{1,80}")
_LEASE = re.compile(r"[A-Za-z0-9]{1,40}")
# what is still to be zeroed
_RAW = "batfs-raw"
# zeroing a volume takes as long as writing it
ZEROING = 7 * 86400.0


class System(Protocol):
    """The few things done to the machine; the tests put a stand-in configfs tree behind it."""

    def run(self, *command: str) -> str: ...
    def mkdir(self, path: Path) -> None: ...
    def rmdir(self, path: Path) -> None: ...
    def write(self, path: Path, text: str) -> None: ...
    def link(self, target: Path, path: Path) -> None: ...
    def unlink(self, path: Path) -> None: ...


class Machine:
    """The real thing."""

    def run(self, *command: str) -> str:
        try:
            patience = ZEROING if command[0] == "blkdiscard" else 120
            done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BackendError(f"{command[0]}: {error}") from error
        if done.returncode:
            raise BackendError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def mkdir(self, path: Path) -> None:
        path.mkdir(exist_ok=True)

    def rmdir(self, path: Path) -> None:
        if path.exists():
            path.rmdir()

    def write(self, path: Path, text: str) -> None:
        path.write_text(text)

    def link(self, target: Path, path: Path) -> None:
        if not path.is_symlink():
            path.symlink_to(target)

    def unlink(self, path: Path) -> None:
        if path.is_symlink():
            path.unlink()


class DryRun:
    """Prints each step as the shell command that would do it."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self._say = say or (lambda line: print(line, file=sys.stdout, flush=True))

    def run(self, *command: str) -> str:
        self._say(shlex.join(command))
        return ""

    def mkdir(self, path: Path) -> None:
        self._say(shlex.join(("mkdir", str(path))))

    def rmdir(self, path: Path) -> None:
        self._say(shlex.join(("rmdir", str(path))))

    def write(self, path: Path, text: str) -> None:
        self._say(f"echo {shlex.quote(text)} > {shlex.quote(str(path))}")

    def link(self, target: Path, path: Path) -> None:
        self._say(shlex.join(("ln", "-s", str(target), str(path))))

    def unlink(self, path: Path) -> None:
        self._say(shlex.join(("rm", str(path))))


@dataclass(frozen=True, slots=True)
class Port:
    """Where clients connect: ``transport`` tcp or rdma, ``address`` and ``service`` (TCP port)."""

    address: str
    service: int = 4420
    transport: str = "tcp"
    number: int = 1


class Nvmet:
    """``devices``: disk name -> volume group (``lvm``) or block device (``partition``)."""

    name = "nvmet"

    def __init__(
        self,
        server: str,
        devices: Mapping[str, str],
        port: Port,
        *,
        carve: str = "lvm",
        configfs: Path = CONFIGFS,
        system: System | None = None,
    ) -> None:
        if carve not in ("lvm", "partition"):
            raise InputError(f"unknown way to carve a device {carve!r}; known: lvm, partition")
        for disk, device in devices.items():
            if not device:
                raise InputError(f"disk {disk!r} names no device", hint="set block_device in the system file")
            if not _DEVICE.fullmatch(device) or ".." in device.split("/"):
                raise InputError(f"disk {disk!r} names the device {device!r}, which is no name of one")
            if carve == "lvm" and device.startswith("/") and not device.startswith("/dev/"):
                raise InputError(
                    f"disk {disk!r}: {device!r} is no volume group",
                    hint="its name, /dev/ and its name, or a physical volume's path below /dev",
                )
        if not _NAME.fullmatch(server) or any(not _NAME.fullmatch(disk) for disk in devices):
            raise InputError(
                "names of servers and disks may hold letters, digits, '.', '_' and '-' only here",
                hint="they become part of NVMe names",
            )
        if not _ADDRESS.fullmatch(port.address) or not 0 < port.service < 65536:
            raise InputError(f"{port.address!r} port {port.service} is no address to connect to")
        self._server, self._devices, self._port, self._carve = server, dict(devices), port, carve
        self._root, self._system = configfs, system or Machine()
        if isinstance(self._system, Machine) and not configfs.is_dir():
            raise InputError(
                "the kernel's nvmet configfs isn't there", file=configfs, hint="modprobe nvmet-tcp"
            )

    # -- names ---------------------------------------------------------------------------------------------

    def _nqn(self, lease: str, disk: str) -> str:
        nqn = f"nqn.2026-11.org.batfs:{self._server}:{disk}:{lease}"
        if not _NQN.fullmatch(nqn) or nqn.count(":") != 3 or not _LEASE.fullmatch(lease):
            raise BackendError(f"{nqn!r} is not a usable NVMe qualified name")
        return nqn

    def _device(self, disk: str) -> str:
        if disk not in self._devices:
            raise BackendError(f"no disk {disk!r} on this server")
        return self._devices[disk]

    def _group(self, disk: str) -> str:
        """The disk's volume group: the one that is named, or the one on the physical volume that is."""
        device = self._device(disk)
        name = device.removeprefix("/dev/")
        if "/" not in device or (os.path.isdir(device) and "/" not in name):
            return name
        if isinstance(self._system, DryRun):
            return f"VG-OF-{name.replace('/', '-')}"  # would have to be asked for
        found = self._system.run("pvs", "--noheadings", "-o", "vg_name", device).strip()
        if not found:
            raise BackendError(f"{device} is in no volume group (vgcreate NAME {device})")
        return found

    def _volume(self, lease: str, disk: str) -> str:
        return (
            f"/dev/{self._group(disk)}/batfs-{lease}"
            if self._carve == "lvm"
            else f"/dev/disk/by-partlabel/batfs-{lease}"
        )

    # -- the way there -------------------------------------------------------------------------------------

    def provision(self, lease: str, disk: str, size: int, user: str, host: str) -> Mapping[str, Any]:
        nqn, volume, system = self._nqn(lease, disk), self._volume(lease, disk), self._system
        if not host:
            raise BackendError("the request names no host NQN to let in (option host)")
        if not _NQN.fullmatch(host):
            raise BackendError(f"{host!r} is not an NVMe qualified name")
        known = self.held().get(f"{lease}/{disk}")
        if known is not None and known != size:
            raise BackendError(f"{nqn} exists with {known} bytes, not {size}")
        if not os.path.exists(volume):
            self._make_volume(lease, disk, size)
        elif self._carve == "lvm":
            tags = self._system.run("lvs", "--noheadings", "-o", "lv_tags", volume)
            if _RAW in tags.strip().split(","):
                self._zero(volume)  # we were killed meanwhile
        subsystem, host_dir = self._root / "subsystems" / nqn, self._root / "hosts" / host
        self._make_port()
        system.mkdir(host_dir)
        system.mkdir(subsystem)
        system.write(subsystem / "attr_allow_any_host", "0")
        system.write(subsystem / "attr_model", f"batfs {size}")
        system.link(host_dir, subsystem / "allowed_hosts" / host)
        namespace = subsystem / "namespaces" / "1"
        system.mkdir(namespace)
        # a namespace that is enabled refuses a new path: repeat only what is missing
        if not _reads(namespace / "enable", "1"):
            system.write(namespace / "device_path", volume)
            system.write(namespace / "enable", "1")
        system.link(subsystem, self._root / "ports" / str(self._port.number) / "subsystems" / nqn)
        return {
            "server": self._server,
            "disk": disk,
            "nqn": nqn,
            "transport": self._port.transport,
            "address": self._port.address,
            "service": self._port.service,
            "connect": f"nvme connect -t {self._port.transport} -a {self._port.address} "
            f"-s {self._port.service} -n {nqn}",
        }

    def _make_port(self) -> None:
        port = self._root / "ports" / str(self._port.number)
        if port.exists():
            return
        family = "ipv6" if ":" in self._port.address else "ipv4"
        self._system.mkdir(port)
        self._system.write(port / "addr_trtype", self._port.transport)
        self._system.write(port / "addr_adrfam", family)
        self._system.write(port / "addr_traddr", self._port.address)
        self._system.write(port / "addr_trsvcid", str(self._port.service))

    def _make_volume(self, lease: str, disk: str, size: int) -> None:
        if self._carve == "lvm":
            # LVM rounds up to whole extents; -W y -y wipes signatures that an earlier tenant left
            group = self._group(disk)
            name, wipe = f"batfs-{lease}", ("-y", "-W", "y", "--addtag", _RAW)
            self._system.run("lvcreate", *wipe, "-n", name, "-L", f"{size}b", group)
            self._zero(f"/dev/{group}/{name}")
            return
        device = self._device(disk)
        kib = -(-size // 1024)
        raw, name = f"/dev/disk/by-partlabel/{_RAW}-{lease}", f"batfs-{lease}"
        if not os.path.exists(raw):
            self._system.run("sgdisk", f"--new=0:0:+{kib}K", f"--change-name=0:{_RAW}-{lease}", device)
            self._settle(device)
        self._system.run("blkdiscard", "--force", "--zeroout", raw)
        self._system.run("sgdisk", f"--change-name={_partition(raw)}:{name}", device)
        self._settle(device)

    def _settle(self, device: str) -> None:
        self._system.run("partprobe", device)
        self._system.run("udevadm", "settle")

    def _zero(self, volume: str) -> None:
        """Every block reads as zeros before anybody is let in: by the device itself where it can (WRITE
        ZEROES), else by writing them. Until that is done the volume is marked (a tag, a partition's name), so
        that a server that was killed meanwhile does it again; without the mark the data are a tenant's."""
        self._system.run("blkdiscard", "--force", "--zeroout", volume)
        self._system.run("lvchange", "--deltag", _RAW, volume)

    # -- and back ------------------------------------------------------------------------------------------

    def remove(self, lease: str, disk: str) -> None:
        nqn, system = self._nqn(lease, disk), self._system
        subsystem = self._root / "subsystems" / nqn
        namespace = subsystem / "namespaces" / "1"
        system.unlink(self._root / "ports" / str(self._port.number) / "subsystems" / nqn)
        hosts = (
            sorted((subsystem / "allowed_hosts").iterdir()) if (subsystem / "allowed_hosts").is_dir() else []
        )
        if namespace.exists() or isinstance(system, DryRun):
            system.write(namespace / "enable", "0")
            system.rmdir(namespace)
        for host in hosts:
            system.unlink(host)
        system.rmdir(subsystem)
        for host in hosts:
            self._drop_host(host.name)
        volume = self._volume(lease, disk)
        if os.path.exists(volume) or isinstance(system, DryRun):
            self._drop_volume(volume, disk)

    def _drop_host(self, host: str) -> None:
        """Forget a host that no subsystem lets in any more."""
        if any((s / "allowed_hosts" / host).exists() for s in (self._root / "subsystems").iterdir()):
            return
        self._system.rmdir(self._root / "hosts" / host)

    def _drop_volume(self, volume: str, disk: str) -> None:
        if self._carve == "lvm":
            self._system.run("lvremove", "-y", "-f", volume)
            return
        self._system.run("sgdisk", f"--delete={_partition(volume)}", self._device(disk))
        self._system.run("partprobe", self._device(disk))

    def held(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        subsystems = self._root / "subsystems"
        for subsystem in sorted(subsystems.iterdir()) if subsystems.is_dir() else ():
            parts = subsystem.name.split(":")
            if len(parts) != 4 or not parts[0].endswith("org.batfs") or parts[1] != self._server:
                continue
            model = subsystem / "attr_model"
            words = model.read_text().split() if model.exists() else []
            if len(words) == 2 and words[1].isdigit():
                found[f"{parts[3]}/{parts[2]}"] = int(words[1])
        return found


def _partition(path: str) -> str:
    """The number of the partition ``path`` is; a letter for it where there is none (a dry run)."""
    number = Path("/sys/class/block") / os.path.basename(os.path.realpath(path)) / "partition"
    return number.read_text().strip() if number.exists() else "N"


def _reads(path: Path, text: str) -> bool:
    return path.exists() and path.read_text().strip() == text
