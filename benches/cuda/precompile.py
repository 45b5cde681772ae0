"""Compiles variants of kernels in parallel, so that what comes after finds them: precompile.py FILE NAME=VALUE,… [FILE NAME=VALUE,…]…

A value may be several, with | between; all combinations are compiled.
"""

import itertools
import sys
from concurrent.futures import ProcessPoolExecutor

import harness


def one(job):
    try:
        harness.compile(job[0], "sm_90a", **job[1])
    except RuntimeError as error:
        print(job, str(error)[:1000], flush=True)


def combinations(name, text):
    pairs = [pair.split("=") for pair in text.split(",") if pair]
    for values in itertools.product(*[value.split("|") for _, value in pairs]):
        yield name, {key: int(value) for (key, _), value in zip(pairs, values)}


if __name__ == "__main__":
    words = sys.argv[1:]
    jobs = [job for name, text in zip(words[::2], words[1::2]) for job in combinations(name, text)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(one, jobs))
    print(len(jobs), "kernels compiled")
