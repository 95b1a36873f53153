#!/usr/bin/env python3
"""ivf and Faiss over the same vectors, in turns in one run: recall first, then queries a second as ratios.

    pip install faiss-cpu numpy
    cargo build --release --bin ivf && cargo build --release --bench kmeans
    benches/beside_faiss.py search PREFIX --metric ip --factory IVF1024,Flat --nprobe 1,4,8,16,32,64
    benches/beside_faiss.py search PREFIX --metric ip --factory Flat --queries 1000
    benches/beside_faiss.py kmeans PREFIX --metric ip

PREFIX_base.fvecs, PREFIX_query.fvecs and PREFIX_groundtruth.ivecs are read. One thread on one core, for both; with --threads 2
on two. Each figure is the median of --rounds runs, a round being Faiss, then ivf.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
METRICS = {"ip": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2}
K = 10
SINGLES = 400


def vectors(path, kind):
    data = np.fromfile(path, dtype=np.int32)
    rows = data.reshape(-1, data[0] + 1)[:, 1:]
    return np.ascontiguousarray(rows.view(np.float32) if kind == "fvecs" else rows)


def write_vectors(path, rows):
    head = np.full((len(rows), 1), rows.shape[1], np.int32)
    np.hstack([head, rows.view(np.int32)]).tofile(path)


def ivf(*args):
    return subprocess.run([ROOT / "target/release/ivf", *map(str, args)], check=True, capture_output=True, text=True).stdout


def ivf_and_peak(*args):
    """What ivf says, and its peak of resident memory in bytes. (A child of this process would begin with the memory of this one.)"""
    code = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)")
    command = [sys.executable, "-c", code, ROOT / "target/release/ivf", *map(str, args)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return lines[0], int(lines[-1])


def search(args, queries, truth, folder):
    with_lists = args.factory.startswith("IVF")
    base = vectors(f"{args.prefix}_base.fvecs", "fvecs")
    theirs = faiss.index_factory(base.shape[1], args.factory, METRICS[args.metric])
    faiss.omp_set_num_threads(args.threads)
    started = time.perf_counter()
    theirs.train(base)
    trained = time.perf_counter()
    theirs.add(base)
    print(f"Faiss {faiss.__version__}: {args.factory} trained in {trained - started:.2f} s,"
          f" added in {time.perf_counter() - trained:.2f} s")
    said, peak = ivf_and_peak("build", "--factory", args.factory, "--metric", args.metric, "--base",
                              f"{args.prefix}_base.fvecs", "--out", folder / "index.ivf", "--threads", args.threads)
    print(said)
    # The vectors, the index with a fifth to grow into, and room to train in.
    limit = base.nbytes + 1.2 * (folder / "index.ivf").stat().st_size + 256 * 2**20
    print(f"peak of resident memory {peak / 1e6:.0f} MB of at most {limit / 1e6:.0f}")
    assert peak <= limit, "training and adding take too much memory"

    def faiss_round(nprobe):
        if with_lists:
            theirs.nprobe = nprobe
        started = time.perf_counter()
        _, ids = theirs.search(queries, K)
        batch = len(queries) / (time.perf_counter() - started)
        single = 1 / one_by_one(theirs)
        recall = np.mean([len(set(found) & set(true)) / K for found, true in zip(ids, truth[:, :K])])
        return recall, batch, single

    def one_by_one(index):
        """Seconds a call, the median of three runs over the queries that `ivf eval` takes."""
        some = min(SINGLES, len(queries))
        times = []
        for _ in range(3):
            started = time.perf_counter()
            for i in range(some):
                index.search(queries[i : i + 1], K)
            times.append(time.perf_counter() - started)
        return sorted(times)[1] / some

    # What a call costs in Python, whatever is searched: it is in Faiss's figures for single queries, and not in ivf's.
    print(f"a search of an empty index from Python: {one_by_one(faiss.IndexFlat(base.shape[1])) * 1e6:.1f} microseconds")

    def ivf_round(nprobe):
        setting = ["--nprobe", nprobe] if with_lists else []
        out = json.loads(ivf("eval", folder / "index.ivf", "--queries", folder / "queries.fvecs", "--ground-truth",
                             folder / "truth.ivecs", "--threads", args.threads, "--json", *setting))[0]
        return out["recall_at_10"], out["qps"], out["qps_single"]

    print(f"{'nprobe':>6} {'recall':>7} {'Faiss':>7} | {'batch':>8} {'Faiss':>8} {'ratio':>6} | {'single':>8} {'Faiss':>8} {'ratio':>6}")
    for nprobe in args.nprobe if with_lists else [1]:
        rounds = [(faiss_round(nprobe), ivf_round(nprobe)) for _ in range(args.rounds)]
        (recall_theirs, *_), (recall, *_) = rounds[0]
        assert recall > recall_theirs - 0.01, f"recall {recall} against {recall_theirs}: the times mean nothing"
        middle = lambda side, what: statistics.median(r[side][what] for r in rounds)
        ratio = lambda what: statistics.median(r[1][what] / r[0][what] for r in rounds)
        print(f"{nprobe:>6} {recall:>7.4f} {recall_theirs:>7.4f} | {middle(1, 1):>8.0f} {middle(0, 1):>8.0f} {ratio(1):>6.2f}"
              f" | {middle(1, 2):>8.0f} {middle(0, 2):>8.0f} {ratio(2):>6.2f}", flush=True)


def kmeans(args):
    """1,024 centroids of 262,144 points, 10 rounds; the objective is the sum over the points at the last assignment."""
    points = vectors(f"{args.prefix}_base.fvecs", "fvecs")[:262_144]
    rounds = []
    for _ in range(args.rounds):
        faiss.omp_set_num_threads(args.threads)
        theirs = faiss.Kmeans(points.shape[1], 1024, niter=10, spherical=args.metric == "ip", max_points_per_centroid=10**6, seed=1234)
        started = time.perf_counter()
        theirs.train(points)
        took = time.perf_counter() - started
        environment = os.environ | {"IVF_BENCH_SET": args.prefix, "IVF_BENCH_METRIC": args.metric, "IVF_BENCH_THREADS": str(args.threads)}
        ours = subprocess.run(["cargo", "bench", "-q", "--bench", "kmeans"], cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        seconds, objective = map(float, re.search(r"([\d.]+) s .*objective ([-\d.]+)", ours.stdout).groups())
        rounds.append((took, seconds))
        print(f"Faiss {took:.2f} s, objective {theirs.obj[-1] / len(points):.5f}; ivf {seconds:.2f} s, objective {objective:.5f}", flush=True)
    print(f"median ratio {statistics.median(theirs / ours for theirs, ours in rounds):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["search", "kmeans"])
    parser.add_argument("prefix", help="path and name of a set of vectors, up to _base.fvecs")
    parser.add_argument("--metric", choices=METRICS, default="ip")
    parser.add_argument("--factory", default="IVF1024,Flat")
    parser.add_argument("--nprobe", type=lambda s: [int(n) for n in s.split(",")], default=[16, 64])
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-args.threads :])
    if args.what == "kmeans":
        return kmeans(args)
    queries = vectors(f"{args.prefix}_query.fvecs", "fvecs")[: args.queries]
    truth = vectors(f"{args.prefix}_groundtruth.ivecs", "ivecs")[: args.queries]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_vectors(folder / "queries.fvecs", queries)
        write_vectors(folder / "truth.ivecs", truth)
        search(args, queries, truth, folder)


if __name__ == "__main__":
    sys.exit(main())
