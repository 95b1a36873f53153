#!/usr/bin/env python3
"""Compares ivf with Faiss over the same vectors, in alternating rounds of one run.

Prints recall first, then queries per second and their ratios.

    pip install faiss-cpu numpy
    cargo build --release --bin ivf && cargo build --release --bench kmeans
    benches/beside_faiss.py search PREFIX --metric ip --factory IVF1024,Flat --nprobe 1,4,8,16,32,64
    benches/beside_faiss.py search PREFIX --metric ip --factory Flat --queries 1000
    benches/beside_faiss.py search PREFIX --metric l2 --factory IVF1024,PQ64x4fs,RFlat --nprobe 16 --k-factor 10
    benches/beside_faiss.py kmeans PREFIX --metric ip
    benches/beside_faiss.py open PREFIX --metric ip --factory IVF1024,Flat --nprobe 16
    benches/beside_faiss.py filter PREFIX --metric l2 --factory IVF1024,Flat --nprobe 32
    benches/beside_faiss.py edits PREFIX --metric l2 --factory IVF1024,Flat

The script reads PREFIX_base.fvecs, PREFIX_query.fvecs and PREFIX_groundtruth.ivecs. Both libraries
use one thread on one core, or with --threads 2 two threads on two cores. Each figure is the median
of --rounds rounds. A round runs Faiss, then ivf.
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
SHARES = [1, 0.5, 0.1, 0.01, 0.001]
MOST, REMOVED, REMOVED_AT_ONCE = 1_000_000, 1000, 100_000


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
    """Returns the first line that ivf prints, and its peak of resident memory in bytes.

    (A direct child of this process would begin with the memory of this process.)
    """
    code = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)")
    command = [sys.executable, "-c", code, ROOT / "target/release/ivf", *map(str, args)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return lines[0], int(lines[-1])


def program(name):
    """Builds the benchmark of that name, and returns its path."""
    built = subprocess.run(["cargo", "bench", "-q", "--bench", name, "--no-run", "--message-format", "json"], cwd=ROOT, check=True, capture_output=True, text=True)
    return next(m["executable"] for m in map(json.loads, built.stdout.splitlines()) if m.get("target", {}).get("name") == name)


def one_by_one(index, queries, params=None):
    """Returns the seconds per call, as the median of three runs over the queries of `ivf eval`."""
    some = min(SINGLES, len(queries))
    times = []
    for _ in range(3):
        started = time.perf_counter()
        for i in range(some):
            index.search(queries[i : i + 1], K, params=params)
        times.append(time.perf_counter() - started)
    return sorted(times)[1] / some


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
    # The vectors, the index with a fifth of spare capacity, and room for training.
    limit = base.nbytes + 1.2 * (folder / "index.ivf").stat().st_size + 256 * 2**20
    print(f"peak of resident memory {peak / 1e6:.0f} MB of at most {limit / 1e6:.0f}")
    assert peak <= limit, "training and adding take too much memory"

    def faiss_round(nprobe):
        set_theirs = faiss.ParameterSpace().set_index_parameter
        if with_lists:
            set_theirs(theirs, "nprobe", nprobe)
        if args.k_factor:
            set_theirs(theirs, "k_factor_rf", args.k_factor)
        started = time.perf_counter()
        _, ids = theirs.search(queries, K)
        batch = len(queries) / (time.perf_counter() - started)
        single = 1 / one_by_one(theirs, queries)
        recall = np.mean([len(set(found) & set(true)) / K for found, true in zip(ids, truth[:, :K])])
        return recall, batch, single

    # The fixed cost of a call from Python. Faiss's figures for single queries include it, and ivf's
    # do not.
    print(f"a search of an empty index from Python: {one_by_one(faiss.IndexFlat(base.shape[1]), queries) * 1e6:.1f} microseconds")

    def ivf_round(nprobe):
        setting = (["--nprobe", nprobe] if with_lists else []) + (["--k-factor", args.k_factor] if args.k_factor else [])
        out = json.loads(ivf("eval", folder / "index.ivf", "--queries", folder / "queries.fvecs", "--ground-truth",
                             folder / "truth.ivecs", "--threads", args.threads, "--json", *setting))[0]
        return out["recall_at_10"], out["qps"], out["qps_single"]

    print(f"{'nprobe':>6} {'recall':>7} {'Faiss':>7} | {'batch':>8} {'Faiss':>8} {'ratio':>6} | {'single':>8} {'Faiss':>8} {'ratio':>6}")
    for nprobe in args.nprobe if with_lists else [1]:
        rounds = [(faiss_round(nprobe), ivf_round(nprobe)) for _ in range(args.rounds)]
        (recall_theirs, *_), (recall, *_) = rounds[0]
        assert recall > recall_theirs - 0.01, f"recall {recall} is too far below {recall_theirs} of Faiss for valid times"
        middle = lambda side, what: statistics.median(r[side][what] for r in rounds)
        ratio = lambda what: statistics.median(r[1][what] / r[0][what] for r in rounds)
        print(f"{nprobe:>6} {recall:>7.4f} {recall_theirs:>7.4f} | {middle(1, 1):>8.0f} {middle(0, 1):>8.0f} {ratio(1):>6.2f}"
              f" | {middle(1, 2):>8.0f} {middle(0, 2):>8.0f} {ratio(2):>6.2f}", flush=True)


def kmeans(args):
    """Trains 1,024 centroids of 262,144 points in 10 rounds.

    The objective is the mean over the points at the last assignment.
    """
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


FAISS_OPENS = """
import json, sys, time
import faiss, numpy as np
path, queries, nprobe = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3])
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
faiss.omp_set_num_threads(1)
before, started = resident(), time.perf_counter()
index = faiss.read_index(path, faiss.IO_FLAG_MMAP)
opened = time.perf_counter()
index.nprobe = nprobe
index.search(queries, 10)
answered = time.perf_counter()
print(json.dumps({"open_ms": 1e3 * (opened - started), "first_ms": 1e3 * (answered - started), "kib": resident() - before}))
"""


def open_files(args, queries, folder):
    """Opens a file of each library and answers the first query, cold and warm.

    Each measurement has a process of its own. The libraries alternate.
    """
    base = vectors(f"{args.prefix}_base.fvecs", "fvecs")
    theirs = faiss.index_factory(base.shape[1], args.factory, METRICS[args.metric])
    theirs.train(base)
    theirs.add(base)
    faiss.write_index(theirs, str(folder / "index.faiss"))
    del theirs
    ivf("build", "--factory", args.factory, "--metric", args.metric, "--base", f"{args.prefix}_base.fvecs", "--out", folder / "index.ivf")
    np.save(folder / "query.npy", queries[:1])
    ways = {"Faiss, mapped": [sys.executable, "-c", FAISS_OPENS, folder / "index.faiss", folder / "query.npy"]}
    ways |= {f"ivf, {way}": [program("open"), way, folder / "index.ivf", folder / "queries.fvecs"] for way in ["map", "open", "read"]}
    for nprobe in args.nprobe:
        for cold in [True, False]:
            seen = {way: [] for way in ways}
            for _ in range(args.rounds):
                for way, command in ways.items():
                    if cold:
                        for name in ["index.faiss", "index.ivf"]:
                            with open(folder / name, "rb") as file:
                                os.fsync(file.fileno())
                                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    done = subprocess.run([*map(str, command), str(nprobe)], check=True, capture_output=True, text=True)
                    seen[way].append(json.loads(done.stdout))
            ids = {tuple(run["ids"]) for runs in seen.values() for run in runs if "ids" in run}
            assert len(ids) == 1, "the ways of opening a file give different answers"
            for way, runs in seen.items():
                opened, first, kib = (statistics.median(run[key] for run in runs) for key in ["open_ms", "first_ms", "kib"])
                print(f"nprobe {nprobe}, {'cold' if cold else 'warm'}, {way}: open {opened:.2f} ms, with the first query {first:.2f} ms, {kib / 1024:.1f} MiB resident")


def filtered(args, queries, folder):
    """Searches with filters that keep a random share of the ids, and without a filter."""
    base = vectors(f"{args.prefix}_base.fvecs", "fvecs")
    faiss.omp_set_num_threads(args.threads)
    theirs = faiss.index_factory(base.shape[1], args.factory, METRICS[args.metric])
    theirs.train(base)
    theirs.add(base)
    ivf("build", "--factory", args.factory, "--metric", args.metric, "--base", f"{args.prefix}_base.fvecs", "--out",
        folder / "index.ivf", "--threads", args.threads)
    ours = [program("filter"), folder / "index.ivf", folder / "queries.fvecs"]

    def exact(kept):
        """Returns the true neighbours among the kept ids: K, or all if fewer are kept."""
        flat = faiss.IndexFlat(base.shape[1], METRICS[args.metric])
        flat.add(base[kept])
        return [set(kept[found]) for found in flat.search(queries, min(K, len(kept)))[1]]

    def faiss_round(params):
        times = []
        theirs.search(queries, K, params=params)
        while len(times) < 3 and sum(times) < 1:
            started = time.perf_counter()
            _, ids = theirs.search(queries, K, params=params)
            times.append(time.perf_counter() - started)
        batch = len(queries) / sorted(times)[len(times) // 2]
        return ids[:, :K], batch, 1 / one_by_one(theirs, queries, params)

    def ivf_round(*setting):
        done = subprocess.run([*map(str, ours), *map(str, setting)], check=True, capture_output=True, text=True)
        out = json.loads(done.stdout)
        return out["ids"], out["qps"], out["qps_single"]

    def recall(ids, truth):
        return sum(len(true.intersection(found)) for found, true in zip(ids, truth)) / sum(map(len, truth))

    rng = np.random.default_rng(1234)
    everything = np.arange(len(base))
    kept = {share: np.sort(rng.choice(everything, max(1, round(share * len(base))), replace=False)) for share in SHARES}
    truth = {share: exact(ids) for share, ids in kept.items()}
    kept["none"], truth["none"] = everything, truth[1]
    print(f"Faiss {faiss.__version__}: {args.factory}, {len(base)} vectors, {len(queries)} queries")
    nothing = 1e6 * one_by_one(faiss.IndexFlat(base.shape[1]), queries)
    print(f"a search of an empty index from Python: {nothing:.1f} microseconds, included in Faiss's figures for single queries")
    print(f"{'nprobe':>6} {'kept':>7} {'recall':>7} {'Faiss':>7} | {'batch':>8} {'Faiss':>8} {'ratio':>6} | {'single':>8} {'Faiss':>8} {'ratio':>6}")
    for nprobe in args.nprobe:
        for share in ["none", *SHARES]:
            is_kept = np.zeros(len(base), bool)
            is_kept[kept[share]] = True
            bitmap = np.packbits(is_kept, bitorder="little")
            bitmap.tofile(folder / "bitmap")
            selector = {} if share == "none" else {"sel": faiss.IDSelectorBitmap(bitmap)}
            params = faiss.SearchParametersIVF(nprobe=nprobe, **selector)
            setting = [nprobe, args.threads] + ([] if share == "none" else [folder / "bitmap"])
            rounds = [(faiss_round(params), ivf_round(*setting)) for _ in range(args.rounds)]
            for found in rounds[0]:
                assert all(id == -1 or is_kept[id] for ids in found[0] for id in ids), "a search found an id that the filter excludes"
            recall_theirs, recall_ours = (recall(found[0], truth[share]) for found in rounds[0])
            assert abs(recall_ours - recall_theirs) < 0.01, f"recall {recall_ours} is too far from {recall_theirs} of Faiss for valid times"
            assert all(found[1][0] == rounds[0][1][0] for found in rounds), "two rounds found different ids"
            middle = lambda side, what: statistics.median(r[side][what] for r in rounds)
            ratio = lambda what: statistics.median(r[1][what] / r[0][what] for r in rounds)
            shown = share if share == "none" else f"{share:.1%}"
            print(f"{nprobe:>6} {shown:>7} {recall_ours:>7.4f} {recall_theirs:>7.4f} | {middle(1, 1):>8.0f} {middle(0, 1):>8.0f} {ratio(1):>6.2f}"
                  f" | {middle(1, 2):>8.0f} {middle(0, 2):>8.0f} {ratio(2):>6.2f}", flush=True)


def edits(args, folder):
    """Edits an index with a hash map of ids.

    Removes single ids and many ids at once, then replaces and upserts the vectors of other ids.
    """
    base = vectors(f"{args.prefix}_base.fvecs", "fvecs")[:MOST]
    drawn = np.random.default_rng(1234).permutation(len(base))
    at_once = min(REMOVED_AT_ONCE, len(base) // 2)
    gone, left = drawn[: REMOVED + at_once], np.sort(drawn[REMOVED + at_once :])
    write_vectors(folder / "ids.ivecs", gone[:, None].astype(np.int32))
    faiss.omp_set_num_threads(args.threads)
    built = faiss.index_factory(base.shape[1], args.factory, METRICS[args.metric])
    built.train(base)
    # If the index has a map, a plain `add` records wrong ids in it.
    built.add_with_ids(base, np.arange(len(base)))
    # The ids are held here, because a selector only points to them.
    held = [np.array([id], np.int64) for id in gone[:REMOVED]] + [gone[REMOVED:].astype(np.int64)]
    selectors = [faiss.IDSelectorArray(ids) for ids in held]
    absent = faiss.IDSelectorArray(np.array([len(base)], np.int64))

    def each(items, edit):
        times = []
        for item in items:
            started = time.perf_counter()
            edit(item)
            times.append(time.perf_counter() - started)
        return {"median_us": statistics.median(times) * 1e6, "worst_us": max(times) * 1e6}

    def faiss_round():
        theirs = faiss.clone_index(built)
        theirs.set_direct_map_type(faiss.DirectMap.Hashtable)
        other = lambda ids: np.ascontiguousarray(base[(ids + 1) % len(base)])
        out = {"nothing": each([absent] * REMOVED, theirs.remove_ids)}
        out["remove"] = each(selectors[:REMOVED], theirs.remove_ids)
        started = time.perf_counter()
        theirs.remove_ids(selectors[REMOVED])
        out["batch_ms"] = 1e3 * (time.perf_counter() - started)
        assert theirs.ntotal == len(left)
        one = [np.array([id], np.int64) for id in left[:REMOVED]]
        out["update"] = each([(ids, other(ids)) for ids in one], lambda item: theirs.update_vectors(*item))

        def upsert(item):
            ids, vector, selector = item
            theirs.remove_ids(selector)
            theirs.add_with_ids(vector, ids)

        # Every other id was removed.
        one = [ids for pair in zip(held[: REMOVED // 2], ([id] for id in left[REMOVED : REMOVED + REMOVED // 2])) for ids in pair]
        one = [np.array(ids, np.int64) for ids in one]
        out["upsert"] = each([(ids, other(ids), faiss.IDSelectorArray(ids)) for ids in one], upsert)
        assert theirs.ntotal == len(left) + REMOVED // 2
        return out

    ours = [program("edits"), f"{args.prefix}_base.fvecs", folder / "ids.ivecs", args.factory, args.metric, args.threads]
    rounds = []
    for _ in range(args.rounds):
        done = faiss_round()
        rounds.append((done, json.loads(subprocess.run([*map(str, ours)], check=True, capture_output=True, text=True).stdout)))

    def line(what, of):
        theirs, ours = (statistics.median(of(r[side]) for r in rounds) for side in [0, 1])
        ratio = statistics.median(of(theirs) / of(ours) for theirs, ours in rounds)
        print(f"{what:>34}: ivf {ours:>9.2f}, Faiss {theirs:>9.2f}, ratio {ratio:.2f}")

    print(f"Faiss {faiss.__version__}: {args.factory}, {len(base)} vectors; times of one call")
    nothing = statistics.median(r[0]["nothing"]["median_us"] for r in rounds)
    print(f"a removal of an absent id from Python: {nothing:.2f} microseconds, included in Faiss's figures for single ids, not in ivf's")
    for what in ["remove", "update", "upsert"]:
        line(f"{what} one, microseconds", lambda r: r[what]["median_us"])
        line(f"{what} one, the slowest", lambda r: r[what]["worst_us"])
    line(f"remove {at_once:,}, milliseconds", lambda r: r["batch_ms"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["search", "kmeans", "open", "filter", "edits"])
    parser.add_argument("prefix", help="path and name of a set of vectors, without _base.fvecs")
    parser.add_argument("--metric", choices=METRICS, default="ip")
    parser.add_argument("--factory", default="IVF1024,Flat")
    parser.add_argument("--nprobe", type=lambda s: [int(n) for n in s.split(",")], default=[16, 64])
    parser.add_argument("--k-factor", type=float, help="candidates re-ranked for each result, of an index that refines")
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
        if args.what == "open":
            return open_files(args, queries, folder)
        if args.what == "filter":
            return filtered(args, queries, folder)
        if args.what == "edits":
            return edits(args, folder)
        search(args, queries, truth, folder)


if __name__ == "__main__":
    sys.exit(main())
