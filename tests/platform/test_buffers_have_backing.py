"""A burst buffer never stands there silently without staging: platforms name what is behind it, and whoever
runs something is told what is off and which flag turns it on."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from batfs.platform import load_platform, number_resources
from batfs.platform.generate import generate
from batfs.platform.spec import make_spec, preset, presets

ROOT = Path(__file__).parents[2]
OFF = "staging and checkpoints need dynamic jobs (--dynamic-jobs"
WORKLOAD = """{"nb_res": 2, "jobs": [{"id": "a", "subtime": 0, "res": 1, "walltime": 100, "profile": "p"}],
"profiles": {"p": {"type": "delay", "delay": 5,
"io": [{"filesystem": "bb", "reads": 1000, "writes": 1000}]}}}"""


def models(text: str, folder: Path) -> dict[str, str]:
    """File system -> the model that the platform names for it."""
    file = folder / "p.xml"
    file.write_text(text)
    machine = number_resources(load_platform(file), master="master_host")
    return {s.properties["filesystem"]: s.properties.get("model", "") for s in machine.storages}


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_and_the_shipped_files(name: str, tmp_path: Path) -> None:
    text = generate(make_spec(preset(name)))
    found = models(text, tmp_path)
    for model in found.values():
        if model.startswith("burst_buffer"):
            behind = model.partition("backing=")[2].partition(",")[0]
            assert behind in found
    shipped = ROOT / "platforms" / f"{name}.xml"
    if shipped.exists():
        assert models(shipped.read_text(), tmp_path) == found


@pytest.mark.parametrize(
    "sections, expected",
    [
        ({"pfs": True, "central": True, "burst_buffers": True}, "burst_buffer:backing=lustre"),
        ({"central": True, "burst_buffers": True}, "burst_buffer:backing=nfs"),
        ({"pfs": {"file_system": "gpfs"}, "burst_buffers": True}, "burst_buffer:backing=gpfs"),
        (
            {"pfs": True, "burst_buffers": {"model": "burst_buffer:stage_out=false"}},
            "burst_buffer:stage_out=false,backing=lustre",
        ),
        (
            {"pfs": True, "central": True, "burst_buffers": {"model": "burst_buffer:backing=nfs"}},
            "burst_buffer:backing=nfs",
        ),
        ({"pfs": True, "burst_buffers": {"model": "burst_buffer:backing="}}, "burst_buffer:backing="),
        ({"pfs": True, "burst_buffers": {"model": "pfs"}}, "pfs"),
        ({"burst_buffers": True}, "burst_buffer"),
    ],
)
def test_what_flags_make(sections: dict[str, object], expected: str, tmp_path: Path) -> None:
    assert models(generate(make_spec(sections)), tmp_path)["bb"] == expected


def test_buffers_in_the_nodes(tmp_path: Path) -> None:
    spec = make_spec({"pfs": True, "disks": {"file_system": "bb", "model": "burst_buffer"}})
    assert models(generate(spec), tmp_path)["bb"] == "burst_buffer:backing=lustre"


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "p.xml").write_text(
        generate(make_spec({"nodes": {"count": 2}, "pfs": True, "burst_buffers": True}))
    )
    (tmp_path / "w.json").write_text(WORKLOAD)
    return str(tmp_path / "p.xml"), str(tmp_path / "w.json")


def batfs(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "batfs", *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_run_and_compare_say_what_is_off(inputs: tuple[str, str], tmp_path: Path) -> None:
    given = ("-p", inputs[0], "-w", inputs[1])
    assert batfs("run", *given, "-e", str(tmp_path / "r")).count(OFF) == 1
    assert OFF not in batfs("run", *given, "-e", str(tmp_path / "r"), "--dynamic-jobs")
    more = ("--policy", "random", "--policy", "worst_fit", "--seeds", "2", "--formats", "none", "-j", "1")
    assert batfs("compare", *given, *more, "-o", str(tmp_path / "c")).count(OFF) == 1
    assert OFF not in batfs("compare", *given, *more, "-o", str(tmp_path / "d"), "--dynamic-jobs")


def test_python_warns(inputs: tuple[str, str]) -> None:
    pytest.importorskip("pandas")
    import batfs as package

    with pytest.warns(UserWarning, match="--dynamic-jobs") as told:
        package.simulate(*inputs)
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="--dynamic-jobs"):
        package.compare(*inputs, policy=["random", "worst_fit"], seeds=2, jobs=1, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        package.simulate(*inputs, dynamic_jobs=True)


def test_without_anything_behind_it_is_said_to_be_scratch(tmp_path: Path) -> None:
    (tmp_path / "p.xml").write_text(generate(make_spec({"nodes": {"count": 2}, "burst_buffers": True})))
    (tmp_path / "w.json").write_text(WORKLOAD)
    given = ("-p", str(tmp_path / "p.xml"), "-w", str(tmp_path / "w.json"), "-e", str(tmp_path / "r"))
    for flags in ((), ("--dynamic-jobs",)):
        said = batfs("run", *given, *flags)
        assert said.count("no file system is behind it (burst_buffer:backing=NAME)") == 1
