"""Two processes that save into one folder as fast as they can, and one that reads it meanwhile.

    python several_savers.py COUNT FOLDER

prints, as JSON, how often which of the two was read, and the errors of all three.
"""

import json
import multiprocessing
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from interrupted import net, saved_net

from tcn.inference import save_pretrained


def save_often(number: int, count: int, folder: Path, errors: Any) -> None:
    made = net(number)
    for _ in range(count):
        try:
            save_pretrained(made, folder)
        except Exception as error:
            errors.put(f"saving {number}: {error!r}")


def main(count: int, folder: Path) -> dict[str, Any]:
    processes = multiprocessing.get_context("fork")
    errors = processes.SimpleQueue()
    wanted = []
    for number in (1, 2):
        save_pretrained(net(number), folder)
        wanted.append(saved_net(folder))
    savers = [
        processes.Process(target=save_often, args=(number, count, folder, errors))
        for number in (1, 2)
    ]
    for saver in savers:
        saver.start()
    seen, wrong = Counter[str](), []
    while any(saver.is_alive() for saver in savers) or not seen:
        try:
            found = saved_net(folder)
            seen[str(wanted.index(found) + 1) if found in wanted else "neither"] += 1
        except Exception as error:
            wrong.append(repr(error))
    for saver in savers:
        saver.join()
    while not errors.empty():
        wrong.append(errors.get())
    left = sorted(file.name for file in folder.iterdir())
    return {"seen": seen, "wrong": wrong, "left": left, "last": wanted.index(saved_net(folder))}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), Path(sys.argv[2]))))
