"""The back ends: real files, the kernel's configfs (a stand-in that keeps its rules), the simulated one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batfs.errors import InputError
from batfs.service.backends.directory import Directory
from batfs.service.backends.interface import BackendError
from batfs.service.backends.nvmet import DryRun, Nvmet, Port
from batfs.service.backends.simulated import Simulated


def test_directory_makes_real_space_and_removes_it(tmp_path: Path) -> None:
    backend = Directory("s", tmp_path / "root")
    answer = backend.provision("L1", "d0", 1_000_000, "alice", "")
    path = Path(answer["path"])
    assert path.stat().st_size == 1_000_000
    assert path.stat().st_blocks * 512 >= 1_000_000, "the space is there, not only promised"
    path.write_bytes(b"mine")
    assert backend.provision("L1", "d0", 1_000_000, "alice", "") == answer
    assert path.read_bytes() == b"mine", "doing it again changes nothing"
    with pytest.raises(BackendError, match="exists with 1000000 bytes"):
        backend.provision("L1", "d0", 5, "alice", "")
    assert Directory("s", tmp_path / "root").held() == {"L1/d0": 1_000_000}
    backend.remove("L1", "d0")
    backend.remove("L1", "d0")
    assert backend.held() == {}
    assert list((tmp_path / "root" / "d0").iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", ".new-x", "a\0b"])
def test_directory_stays_below_its_root(tmp_path: Path, name: str) -> None:
    backend = Directory("s", tmp_path / "root")
    with pytest.raises(BackendError):
        backend.provision(name, "d0", 10, "u", "")
    with pytest.raises(BackendError):
        backend.remove("L1", name)


def test_directory_leaves_nothing_half_made(tmp_path: Path) -> None:
    backend = Directory("s", tmp_path / "root")
    free = os.statvfs(tmp_path)
    with pytest.raises(BackendError, match="cannot make"):
        backend.provision("L1", "d0", free.f_blocks * free.f_frsize * 4, "u", "")
    assert backend.held() == {}
    assert list((tmp_path / "root" / "d0").iterdir()) == []
    (tmp_path / "root" / "d0" / ".new-L7").mkdir()
    (tmp_path / "root" / "d0" / ".old-L8").mkdir()
    Directory("s", tmp_path / "root")
    assert list((tmp_path / "root" / "d0").iterdir()) == []


@pytest.mark.parametrize("torn", [b"", b'{"size":', b"\0" * 50, b"[]", None])
def test_a_torn_note_is_written_anew_and_the_others_stay(tmp_path: Path, torn: bytes | None) -> None:
    """What a power cut leaves of a file that nobody waited for: the size comes from the space itself."""
    backend = Directory("s", tmp_path / "root")
    paths = [Path(backend.provision(f"L{i}", "d0", 1000 * i, "u", "")["path"]) for i in (1, 2, 3)]
    paths[1].write_bytes(b"x" * 2000)
    about = paths[1].parent / "about.json"
    about.unlink() if torn is None else about.write_bytes(torn)
    again = Directory("s", tmp_path / "root")
    assert again.held() == {"L1/d0": 1000, "L2/d0": 2000, "L3/d0": 3000}
    assert again.provision("L2", "d0", 2000, "u", "")["path"] == str(paths[1])
    assert paths[1].read_bytes() == b"x" * 2000
    with pytest.raises(BackendError, match="exists with 2000 bytes"):
        again.provision("L2", "d0", 7, "u", "")


def test_a_note_nobody_can_restore_is_told_by_the_orchestrator(tmp_path: Path) -> None:
    """A folder with a quota doesn't say its size: it counts as lost, is asked for again, keeps its data."""
    backend = Directory("s", tmp_path / "root")
    place = Path(backend.provision("L1", "d0", 1000, "u", "")["path"]).parent
    (place / "space").rename(place / "data")
    (place / "about.json").write_bytes(b"")
    backend._kind = "quota"
    assert backend.held() == {}
    assert backend.provision("L1", "d0", 1000, "u", "")["path"] == str(place / "data")
    assert backend.held() == {"L1/d0": 1000}


def test_simulated_remembers_across_a_crash(tmp_path: Path) -> None:
    journal = tmp_path / "j"
    backend = Simulated("s", journal)
    backend.provision("L1", "d0", 5, "u", "")
    backend.provision("L2", "d0", 6, "u", "")
    backend.remove("L1", "d0")
    with open(journal, "ab") as stream:
        stream.write(b'["L3/d0",')  # cut short by a crash
    assert Simulated("s", journal).held() == {"L2/d0": 6}
    journal.write_bytes(b'nonsense\n["L3/d0",1]\n')
    with pytest.raises(InputError, match="line 1"):
        Simulated("s", journal)


class Kernel:
    """A stand-in for the kernel's nvmet configfs and for LVM, with the rules that bite.

    Making a folder makes its attributes; a folder goes only when nothing links to it or lies in it; an
    enabled namespace keeps its path; a link goes to something that exists.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.volumes: dict[str, int] = {}
        self.devices = root / "dev"
        for name in ("hosts", "subsystems", "ports", "dev"):
            (root / name).mkdir(parents=True)

    def run(self, *command: str) -> str:
        if command[0] == "lvcreate":
            name, size = command[command.index("-n") + 1], int(command[command.index("-L") + 1].rstrip("b"))
            assert name not in self.volumes
            self.volumes[name] = size
        elif command[0] in ("blkdiscard", "lvchange"):
            self.zeroed = [*getattr(self, "zeroed", []), command]
        elif command[0] == "lvremove":
            del self.volumes[command[-1].rsplit("/", 1)[1]]
        else:
            raise AssertionError(command)
        return ""

    def mkdir(self, path: Path) -> None:
        if path.exists():
            return
        os.mkdir(path)
        parts = path.relative_to(self.root).parts
        made: dict[int, list[str]] = {}
        if parts[0] == "subsystems":
            made = {2: ["attr_allow_any_host", "attr_model"], 4: ["device_path", "enable"]}
            if len(parts) == 2:
                os.mkdir(path / "allowed_hosts")
                os.mkdir(path / "namespaces")
        elif parts[0] == "ports":
            made = {2: ["addr_trtype", "addr_adrfam", "addr_traddr", "addr_trsvcid"]}
            os.mkdir(path / "subsystems")
        for attribute in made.get(len(parts), []):
            (path / attribute).write_text("0")

    def rmdir(self, path: Path) -> None:
        if not path.exists():
            return
        links = [x for x in self.root.rglob("*") if x.is_symlink() and x.resolve() == path]
        assert not links, f"{path} is linked from {links}"
        for inner in list(path.iterdir()):
            if inner.is_dir():
                assert not list(inner.iterdir()), f"{inner} is not empty"
                inner.rmdir()
            else:
                inner.unlink()
        os.rmdir(path)

    def write(self, path: Path, text: str) -> None:
        assert path.exists(), f"the kernel has no attribute {path}"
        if path.name == "device_path":
            assert (path.parent / "enable").read_text() == "0", "EBUSY"
        if path.name == "enable" and text == "1":
            assert (path.parent / "device_path").read_text() != "0", "no device"
        if path.name == "attr_model":
            assert len(text) <= 40
        path.write_text(text)

    def link(self, target: Path, path: Path) -> None:
        assert target.is_dir()
        if path.parent.parent.parent.name == "ports":
            assert (path.parent.parent / "addr_traddr").read_text() != "0"
        if not path.is_symlink():
            path.symlink_to(target)

    def unlink(self, path: Path) -> None:
        if path.is_symlink():
            path.unlink()


HOST = "nqn.2014-08.org.nvmexpress:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427"


def test_nvmet_there_and_back(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    backend = Nvmet("s1", {"d0": "vg0"}, Port("10.0.0.1"), configfs=tmp_path, system=kernel)
    answer = backend.provision("L1", "d0", 10**9, "alice", HOST)
    nqn = answer["nqn"]
    assert answer["connect"] == f"nvme connect -t tcp -a 10.0.0.1 -s 4420 -n {nqn}"
    assert kernel.volumes == {"batfs-L1": 10**9}
    subsystem = tmp_path / "subsystems" / nqn
    assert (subsystem / "namespaces/1/device_path").read_text() == "/dev/vg0/batfs-L1"
    assert (subsystem / "namespaces/1/enable").read_text() == "1"
    assert (subsystem / "attr_allow_any_host").read_text() == "0"
    assert (subsystem / "allowed_hosts" / HOST).resolve() == tmp_path / "hosts" / HOST
    assert (tmp_path / "ports/1/subsystems" / nqn).resolve() == subsystem
    assert Nvmet("s1", {"d0": "vg0"}, Port("10.0.0.1"), configfs=tmp_path, system=kernel).held() == {
        "L1/d0": 10**9
    }
    backend.provision("L2", "d0", 5, "bob", HOST)
    backend.remove("L1", "d0")
    assert (tmp_path / "hosts" / HOST).exists(), "still let in by the second"
    kernel.volumes.pop("batfs-L1", None)
    backend.remove("L2", "d0")
    assert not list((tmp_path / "subsystems").iterdir())
    assert not list((tmp_path / "hosts").iterdir())
    assert not list((tmp_path / "ports/1/subsystems").iterdir())
    assert backend.held() == {}


def test_nvmet_refuses(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    backend = Nvmet("s1", {"d0": "vg0"}, Port("10.0.0.1"), configfs=tmp_path, system=kernel)
    with pytest.raises(BackendError, match="names no host NQN"):
        backend.provision("L1", "d0", 5, "u", "")
    for host in ("../../x", "a b", "x;y"):
        with pytest.raises(BackendError, match="not an NVMe qualified name"):
            backend.provision("L1", "d0", 5, "u", host)
    with pytest.raises(BackendError):
        backend.provision("L1/..", "d0", 5, "u", HOST)
    with pytest.raises(BackendError, match="no disk"):
        backend.provision("L1", "d9", 5, "u", HOST)
    with pytest.raises(InputError, match="names no device"):
        Nvmet("s1", {"d0": ""}, Port("10.0.0.1"), configfs=tmp_path, system=kernel)


def test_nvmet_dry_run_says_every_step_and_does_none(tmp_path: Path) -> None:
    said: list[str] = []
    backend = Nvmet("s1", {"d0": "vg0"}, Port("10.0.0.1"), configfs=tmp_path, system=DryRun(said.append))
    backend.provision("L1", "d0", 10**9, "alice", HOST)
    backend.remove("L1", "d0")
    nqn = "nqn.2026-11.org.batfs:s1:d0:L1"
    assert said[:3] == [
        "lvcreate -y -W y --addtag batfs-raw -n batfs-L1 -L 1000000000b vg0",
        "blkdiscard --force --zeroout /dev/vg0/batfs-L1",
        "lvchange --deltag batfs-raw /dev/vg0/batfs-L1",
    ]
    assert f"echo /dev/vg0/batfs-L1 > {tmp_path}/subsystems/{nqn}/namespaces/1/device_path" in said
    assert f"ln -s {tmp_path}/subsystems/{nqn} {tmp_path}/ports/1/subsystems/{nqn}" in said
    assert said[-1] == "lvremove -y -f /dev/vg0/batfs-L1"
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_prints_shell_that_means_what_it_says(tmp_path: Path) -> None:
    """Every line is taken apart by the shell's rules into the words that would be run."""
    import shlex

    said: list[str] = []
    root = tmp_path / "config fs; rm -rf $HOME"
    system = DryRun(said.append)
    backend = Nvmet("s1", {"d0": "/dev/nvme0n1"}, Port("fe80::1"), configfs=root, system=system)
    backend.provision("L1", "d0", 10**9, "u", "nqn.2014-08.org.nvmexpress:uuid:1")
    backend.remove("L1", "d0")
    assert said[0].endswith("-n batfs-L1 -L 1000000000b VG-OF-nvme0n1")
    for line in said:
        for word in shlex.split(line):
            assert ";" not in word or word.startswith(str(root))
        assert len(shlex.split(line)) <= 13


@pytest.mark.parametrize(
    ("server", "disk", "device", "address"),
    [
        ("s1;reboot", "d0", "vg0", "10.0.0.1"),
        ("s1", "d 0", "vg0", "10.0.0.1"),
        ("s1", "d0", "vg0 && reboot", "10.0.0.1"),
        ("s1", "d0", "/dev/../etc/passwd", "10.0.0.1"),
        ("s1", "d0", "/srv/vg0", "10.0.0.1"),
        ("s1", "d0", "--help me", "10.0.0.1"),
        ("s1", "d0", "vg0", "10.0.0.1 -x"),
    ],
)
def test_names_that_become_commands_are_checked(
    tmp_path: Path, server: str, disk: str, device: str, address: str
) -> None:
    with pytest.raises(InputError):
        Nvmet(server, {disk: device}, Port(address), configfs=tmp_path, system=DryRun([].append))


def test_the_volume_group_of_a_physical_volume(tmp_path: Path) -> None:
    """A system file names block devices; --carve lvm asks LVM which group is on one."""

    class Asked(Kernel):
        def run(self, *command: str) -> str:
            if command[0] == "pvs":
                assert command[-1] == "/dev/nvme0n1"
                return "  fast\n"
            self.last = command
            return super().run(*command)

    kernel = Asked(tmp_path)
    for device, group in (("/dev/nvme0n1", "fast"), ("vg0", "vg0")):
        backend = Nvmet("s1", {"d0": device}, Port("10.0.0.1"), configfs=tmp_path, system=kernel)
        assert backend._volume("L1", "d0") == f"/dev/{group}/batfs-L1"
