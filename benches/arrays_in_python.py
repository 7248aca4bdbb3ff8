"""Times zarr-python on the arrays that the bench `arrays` wrote: PYTHON benches/arrays_in_python.py FOLDER

The wall time and the processor time, each the least of some runs.
"""

import sys
import time

import numpy
import zarr


def least(work, runs):
    walls, processors = [], []
    for _ in range(runs):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return f"{min(walls):.3f} s wall, {min(processors):.2f} s processor"


def main():
    opened = zarr.open_group(f"{sys.argv[1]}/npm/downloads.zarr", mode="r")
    downloads = opened["downloads"]
    rows, days = downloads.shape
    print(f"zarr-python {zarr.__version__}, shape {downloads.shape}, chunks {downloads.chunks}, shards {downloads.shards}")
    scattered = numpy.linspace(0, rows - 1, 1000).astype(int)
    near = numpy.sort(numpy.random.default_rng(1).choice(min(20_000, rows), 1000, replace=False))
    year, five_years = slice(days - 365, days), slice(days - 1826, days)
    print("one package in a year:", least(lambda: downloads[777, year], 7))
    print("1,000 first packages in 5 years:", least(lambda: downloads[:1000, five_years], 3))
    print("1,000 of the 20,000 first in 5 years:", least(lambda: downloads.oindex[near, five_years], 3))
    print("1,000 scattered packages in a year:", least(lambda: downloads.oindex[scattered, year], 2))
    print("all packages on a day:", least(lambda: downloads[:, days - 2], 3))


main()
