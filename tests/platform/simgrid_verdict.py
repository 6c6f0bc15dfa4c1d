"""Run by SimGrid's own Python: whether it loads platforms, and which routes it finds, as JSON.

usage: simgrid_verdict.py < questions.json   where questions is [[file, [[source, destination], ...]], ...]

SimGrid ends its process at many faults, and some it walks in circles at, so each question is asked in a
child of its own: what doesn't come back in time is no.
"""

import json
import os
import signal
import sys

from simgrid import Engine, Host

SECONDS = 5


def child(do) -> int:
    """The exit code of ``do`` in a child that is ended when it takes too long."""
    pid = os.fork()
    if pid == 0:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        signal.alarm(SECONDS)
        try:
            do()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def load(file: str) -> Engine:
    # host/model first: it decides which loopback exists
    engine = Engine(["verdict", "--cfg=host/model:ptask_L07", "--log=root.thres:critical"])
    engine.load_platform(file)
    root = engine.netzone_root
    if root is None:
        os._exit(1)
    root.seal()
    return engine


def ask(file: str, pairs: list, out: int) -> None:
    engine = load(file)  # its hosts are gone when it is
    routes = []
    for a, b in pairs:
        routes.append(child(lambda a=a, b=b: Host.by_name(a).route_to(Host.by_name(b))) == 0)
    os.write(out, json.dumps(routes).encode())
    del engine


def main() -> None:
    answers = []
    for file, pairs in json.load(sys.stdin):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            signal.alarm(SECONDS * (len(pairs) + 1))
            try:
                ask(file, pairs, write)
            except BaseException:
                os._exit(1)
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as stream:
            text = stream.read()
        os.waitpid(pid, 0)
        answers.append([bool(text), json.loads(text) if text else []])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
