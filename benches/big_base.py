#!/usr/bin/env python3
"""Writes base vectors that are larger than the memory for building an index of them.

The vectors are clustered and streamed. The same seed gives the same bytes.

    python benches/big_base.py big.fbin                       # 8,388,608 vectors of 128 dimensions, 4 GiB
    python benches/big_base.py small.fbin --vectors 100000
    ivf build --factory IVF4096,PQ16 --metric l2 --base big.fbin --out big.ivf --memory-limit 1G

The centres of the clusters have unequal weights. A vector is a centre plus noise of half the
centres' spread. With --queries, 1000 more vectors that are not in the base go to a second file.
"""

import argparse

import numpy as np

CENTRES = 20_000
BLOCK = 1 << 16


def vectors(count: int, dim: int, random: np.random.Generator, centres: np.ndarray, weights: np.ndarray):
    """Yields blocks of float32 vectors, `count` vectors in all."""
    for start in range(0, count, BLOCK):
        rows = min(BLOCK, count - start)
        chosen = random.choice(len(centres), rows, p=weights)
        noise = random.standard_normal((rows, dim), dtype=np.float32)
        yield centres[chosen] + np.float32(0.5) * noise


def write(path: str, count: int, dim: int, blocks) -> None:
    """Writes a file in the Big-ANN format: two 32-bit numbers, then the vectors."""
    with open(path, "wb") as out:
        np.array([count, dim], dtype="<u4").tofile(out)
        for block in blocks:
            block.astype("<f4", copy=False).tofile(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="file to write (fbin)")
    parser.add_argument("--vectors", type=int, default=1 << 23)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--queries", help="second file to write, with 1000 more vectors")
    args = parser.parse_args()
    random = np.random.default_rng(args.seed)
    centres = random.standard_normal((CENTRES, args.dim), dtype=np.float32)
    weights = random.random(CENTRES) + 0.1
    weights /= weights.sum()
    write(args.out, args.vectors, args.dim, vectors(args.vectors, args.dim, random, centres, weights))
    if args.queries:
        write(args.queries, 1000, args.dim, vectors(1000, args.dim, random, centres, weights))


if __name__ == "__main__":
    main()
