"""theirs.py WHAT: the same with Python's multiprocessing; prints nanoseconds
per operation. Run by scripts/bench.  SPDX-License-Identifier: MIT"""
import concurrent.futures
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


def turns(lk, go, done):
    count = 0
    go.wait()
    till = time.perf_counter() + 2
    while time.perf_counter() < till:
        for _ in range(10):
            lk.acquire()
            lk.release()
        count += 10
    done.put(count)


def contend(n):
    lk, go, done = mp.Lock(), mp.Event(), mp.Queue()
    ps = [mp.Process(target=turns, args=(lk, go, done)) for _ in range(n)]
    for p in ps:
        p.start()
    time.sleep(0.2)
    go.set()
    total = sum(done.get() for _ in ps)
    for p in ps:
        p.join()
    return 2 / total


def sender(b, go, v, n):
    go.wait()
    for _ in range(n):
        b.send(v)


def piped(n, v):
    a, b = mp.Pipe(False)
    go = mp.Event()
    p = mp.Process(target=sender, args=(b, go, v, n))
    p.start()
    t = time.perf_counter()
    go.set()
    for _ in range(n):
        a.recv()
    t = time.perf_counter() - t
    p.join()
    return t / n


def each(n, f):
    t = time.perf_counter()
    for i in range(n):
        f(i)
    return (time.perf_counter() - t) / n


def dictset():
    with mp.Manager() as m:
        d = m.dict()
        return each(5000, lambda i: d.__setitem__(i % 1000, i))


def dictget():
    with mp.Manager() as m:
        d = m.dict({i: i for i in range(1000)})
        return each(5000, lambda i: d[i % 1000])


def valueadd():
    v = mp.Value("q", 0)

    def add(_):
        with v.get_lock():
            v.value += 1
    return each(300000, add)


def same(x):
    return x


def pooled(f):
    with mp.Pool(2) as pool:
        pool.map(same, range(4), 1)
        t = f(pool)
        pool.close()
        pool.join()
    return t


def applysleep(pool):
    n, total = 100, 0
    for i in range(n):
        time.sleep(0.005)
        t = time.perf_counter()
        pool.apply(same, (i,))
        total += time.perf_counter() - t
    return total / n


def mapped(pool, n, chunk=None):
    items = list(range(n))
    t = time.perf_counter()
    pool.map(same, items, chunk)
    return (time.perf_counter() - t) / n


def submit():
    n = 10000
    with concurrent.futures.ProcessPoolExecutor(2) as ex:
        for i in range(4):
            ex.submit(same, i).result()
        t = time.perf_counter()
        fs = [ex.submit(same, i) for i in range(n)]
        for f in fs:
            f.result()
        return (time.perf_counter() - t) / n


def meet(_):
    everybody.wait()


def pool8(_):
    global everybody
    everybody = mp.Barrier(8)
    with mp.Pool(8) as pool:
        pool.map(meet, range(8), 1)
        pool.close()
        pool.join()


def work(n):
    t, x = time.process_time(), 0
    for i in range(1, n + 1):
        x = (x + i * i) % 1000003
    return time.process_time() - t


def uneven(pool):
    items, seed = [], 1
    for _ in range(2000):
        seed = seed * 16807 % 2147483647
        items.append((3000 + seed % 87000) // 3)  # it is that much slower
    t = time.perf_counter()
    total = sum(pool.map(work, items))
    return 100 * (1 - total / (2 * (time.perf_counter() - t))) / 1e9


WHAT = {
    "int": lambda: through(50000, 12345),
    "str64": lambda: through(50000, b"x" * 64),
    "mib": lambda: through(150, b"x" * (1 << 20)),
    "lock": lock,
    "startjoin": startjoin,
    "contend2": lambda: contend(2),
    "contend8": lambda: contend(8),
    "pipeint": lambda: piped(100000, 12345),
    "pipemib": lambda: piped(150, b"x" * (1 << 20)),
    "dictset": dictset,
    "dictget": dictget,
    "valueadd": valueadd,
    "apply": lambda: pooled(
        lambda p: each(3000, lambda i: p.apply(same, (i,)))),
    "applysleep": lambda: pooled(applysleep),
    "map1": lambda: pooled(lambda p: mapped(p, 20000, 1)),
    "map": lambda: pooled(lambda p: mapped(p, 500000)),
    "submit": submit,
    "applymib": lambda: pooled(
        lambda p: each(100, lambda i: p.apply(same, (b"x" * (1 << 20),)))),
    "pool8": lambda: each(5, pool8),
    "uneven": lambda: pooled(uneven),
}

if __name__ == "__main__":
    mp.set_start_method("fork")
    print("%.4f" % (WHAT[sys.argv[1]]() * 1e9))
