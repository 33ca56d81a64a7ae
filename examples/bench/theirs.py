"""theirs.py WHAT: the same with Python's multiprocessing; prints nanoseconds
per operation. Run by scripts/bench.  SPDX-License-Identifier: MIT"""
import multiprocessing as mp
import sys
import time


def produce(q, go, v, n):
    go.wait()
    for _ in range(n):
        q.put(v)


def through(n, v):
    q, go = mp.Queue(), mp.Event()
    p = mp.Process(target=produce, args=(q, go, v, n))
    p.start()
    t = time.perf_counter()
    go.set()
    for _ in range(n):
        q.get()
    t = time.perf_counter() - t
    p.join()
    return t / n


def lock():
    lk, n = mp.Lock(), 1000000
    t = time.perf_counter()
    for _ in range(n):
        lk.acquire()
        lk.release()
    return (time.perf_counter() - t) / n


def nothing():
    pass


def startjoin():
    n = 100
    t = time.perf_counter()
    for _ in range(n):
        p = mp.Process(target=nothing)
        p.start()
        p.join()
    return (time.perf_counter() - t) / n


WHAT = {
    "int": lambda: through(50000, 12345),
    "str64": lambda: through(50000, b"x" * 64),
    "mib": lambda: through(150, b"x" * (1 << 20)),
    "lock": lock,
    "startjoin": startjoin,
}

if __name__ == "__main__":
    mp.set_start_method("fork")
    print("%.4f" % (WHAT[sys.argv[1]]() * 1e9))
