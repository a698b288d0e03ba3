"""Prints the scalars that the stock TensorBoard reads from a folder of event files.

    python tests/python/check_tensorboard.py FOLDER

Needs the package `tensorboard` (2.21 is known to work). Scalars that a resumed run made again are printed once: TensorBoard
purges the older ones.
"""

import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
for tag in events.Tags()["scalars"]:
    for scalar in events.Scalars(tag):
        print(f"{tag}\t{scalar.step}\t{scalar.value:g}\t{scalar.wall_time:g}")
