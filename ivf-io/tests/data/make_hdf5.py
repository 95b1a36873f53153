"""Writes the HDF5 files of this folder: `pip install h5py numpy && python make_hdf5.py`.

`ann.hdf5` is made like the files of ann-benchmarks (h5py's defaults). `others.hdf5` has types and
layouts that other programs may write. Both were made with h5py 3.16.0 (HDF5 2.0.0) and numpy 2.4.6.
"""

import h5py
import numpy as np

# Vector i of `train` is (i, -i, i / 2, 1); query i is vector 3 i plus a small offset.
i = np.arange(20, dtype="f4")
train = np.stack([i, -i, i / 2, np.ones(20, dtype="f4")], axis=1)
test = train[::3][:5] + np.float32(0.125)
distances = np.sqrt(((test[:, None, :] - train[None, :, :]) ** 2).sum(axis=2))
neighbors = np.argsort(distances, axis=1, kind="stable")[:, :10]

with h5py.File("ann.hdf5", "w") as f:
    f.attrs["type"] = "dense"
    f.attrs["distance"] = "euclidean"
    f.attrs["dimension"] = 4
    f.attrs["point_type"] = "float"
    f.create_dataset("train", (len(train), 4), dtype=train.dtype)[:] = train
    f.create_dataset("test", (len(test), 4), dtype=test.dtype)[:] = test
    truth = f.create_dataset("neighbors", (len(test), 10), dtype="i")
    lengths = f.create_dataset("distances", (len(test), 10), dtype="f")
    for n in range(len(test)):
        truth[n] = neighbors[n]
        lengths[n] = distances[n, neighbors[n]]

table = np.arange(6).reshape(2, 3)
with h5py.File("others.hdf5", "w", libver=("v110", "v110")) as f:
    for name in ["f2", "f4", "u1", "i1", "i4", "i8", "f8", ">f4", "u4", "?", "c8", "S3"]:
        f[name] = table.astype(name)
    f["group/inner"] = table.astype("f4")
    f["scalar"] = np.float32(1)
    f["line"] = np.arange(3, dtype="f4")
    f["cube"] = np.zeros((1, 2, 3), dtype="f4")
    f["empty"] = np.zeros((0, 3), dtype="f4")
    f["flat"] = np.zeros((3, 0), dtype="f4")
    f.create_dataset("never", (2, 3), dtype="f4")
    f.create_dataset("chunked", data=table.astype("f4"), chunks=(1, 3))
    f.create_dataset("packed", data=table.astype("f4"), compression="gzip")
    f["a:b"] = table.astype("f4")
