"""Runs parallel tasks in SimGrid itself; ``tasks`` starts it with a Python that has SimGrid's module.

Arguments: a platform file and a JSON file of tasks {"start", "hosts", "flops", "bytes"}. Prints the end of
each.
"""

import json
import sys

from simgrid import Actor, Engine, Host, this_actor


def main() -> None:
    engine = Engine(["worlds", "--cfg=host/model:ptask_L07", "--log=root.thres:critical"])
    engine.load_platform(sys.argv[1])
    with open(sys.argv[2]) as file:
        tasks = json.load(file)
    ends = [0.0] * len(tasks)

    def run(i: int) -> None:
        task = tasks[i]
        if task["start"] > 0:
            this_actor.sleep_for(task["start"])
        hosts = [Host.by_name(name) for name in task["hosts"]]
        this_actor.parallel_execute(hosts, task["flops"], task["bytes"])
        ends[i] = Engine.clock

    for i, task in enumerate(tasks):
        Actor.create(f"task{i}", Host.by_name(task["hosts"][0]), run, i)
    engine.run()
    print("ENDS", json.dumps([end.hex() for end in ends]))


if __name__ == "__main__":
    main()
