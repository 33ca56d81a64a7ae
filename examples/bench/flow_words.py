"""flow_words.py FILE: the 20 most frequent words, counted by a Pool. The workers
read parts of the file, and what counts is C: translate, split, Counter.
Run by scripts/bench.  SPDX-License-Identifier: MIT"""
import collections
import multiprocessing as mp
import os
import sys

BLOCK = 1 << 20
LETTERS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
TABLE = bytes(c if c in LETTERS or c >= 0x80 else 32 for c in range(256))


def count(part):
    path, begin, end = part
    counts = collections.Counter()
    with open(path, "rb") as f:
        f.seek(max(begin - 1, 0))
        if begin:
            f.readline()
        while f.tell() < end:
            text = f.read(min(BLOCK, end - f.tell()))
            if not text.endswith(b"\n"):
                text += f.readline()
            counts.update(text.translate(TABLE).split())
    return counts


if __name__ == "__main__":
    path, cpus = sys.argv[1], os.cpu_count()
    size = os.path.getsize(path)
    parts = [(path, size * i // cpus, size * (i + 1) // cpus) for i in range(cpus)]
    total = collections.Counter()
    with mp.Pool(cpus) as pool:
        for counts in pool.imap_unordered(count, parts):
            total.update(counts)
    for word, n in total.most_common(20):
        print(n, word.decode())
