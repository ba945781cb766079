"""What benches.archs4_speed runs in processes of its own."""

from __future__ import annotations

COMMON = """
import json, os, resource, sys, time
import numpy as np
def report(seconds, **fields):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print("@@" + json.dumps({"seconds": seconds, "peak_gib": peak} | fields))
"""

#: ARGS: the file, samples, genes.
MADE = (
    COMMON
    + """
from pathlib import Path
from benches.archs4_layout import write_layout
start = time.perf_counter()
write_layout(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
report(time.perf_counter() - start)
"""
)

#: ARGS: those of the command. Its code is loaded and compiled before the clock starts, on a file of its own.
OURS = (
    COMMON
    + """
import tempfile, anndata
from corpuscle.cli._app import main
with tempfile.TemporaryDirectory() as folder:
    small = os.path.join(folder, "small.h5ad")
    anndata.AnnData(np.ones((3, 5), np.uint32)).write_h5ad(small)
    main(["normalize", small, "-m", "log2_qn", "-o", os.path.join(folder, "out.h5ad")])
start = time.perf_counter()
code = main(["normalize", *sys.argv[1:]])
if code:
    sys.exit(code)
report(time.perf_counter() - start)
"""
)

#: ARGS: the file. Every sample once, dense and checked.
READ = (
    COMMON
    + """
from corpuscle.counts import open_counts
with open_counts(sys.argv[1]) as counts:
    start = time.perf_counter()
    for block in counts.unit_blocks(True):
        pass
    report(time.perf_counter() - start)
"""
)

#: ARGS: the file. Every sample once, by plain h5py in bands of whole chunks.
H5PY = (
    COMMON
    + """
import h5py
with h5py.File(sys.argv[1]) as file:
    expression = file["data/expression"]
    width = (expression.chunks or expression.shape)[1]
    width *= max(1, 256 // width)
    start = time.perf_counter()
    for first in range(0, expression.shape[1], width):
        expression[:, first : first + width]
    report(time.perf_counter() - start)
"""
)

#: ARGS: a path, bytes. What the disk takes.
WRITTEN = (
    COMMON
    + """
piece, left = np.random.default_rng(0).bytes(1 << 24), int(sys.argv[2])
start = time.perf_counter()
with open(sys.argv[1], "wb") as file:
    while left > 0:
        left -= file.write(piece[:left])
    file.flush()
    os.fsync(file.fileno())
seconds = time.perf_counter() - start
os.remove(sys.argv[1])
report(seconds)
"""
)

#: ARGS: the file. Milliseconds a sample on one core, of the samples of the first two units.
KERNELS = (
    COMMON
    + """
from corpuscle.counts import open_counts
from corpuscle.normalize import _qn_kernels as kernels
with open_counts(sys.argv[1]) as counts:
    x_ng = np.concatenate([b.x_ng for b in counts.unit_blocks(True, 0, min(512, counts.n_obs))])
x_ng = np.ascontiguousarray(x_ng)
n, g = x_ng.shape
sum_g, out_ng = np.zeros(g), np.empty((n, g), np.float32)
kernels.add_sorted(x_ng, kernels.log_table(), sum_g)
target_g = sum_g / n
up_to = np.concatenate([[0.0], np.cumsum(target_g)])
def sort():
    for x_g in x_ng:
        np.sort(x_g)
def timed(work, *args):
    work(*args)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        work(*args)
        seconds.append(time.perf_counter() - start)
    return min(seconds) / n * 1e3
report(0.0, sort=timed(sort), first=timed(kernels.add_sorted, x_ng, kernels.log_table(), np.zeros(g)),
       second=timed(kernels.fill_ranked, x_ng, target_g, up_to, out_ng))
"""
)

#: ARGS: the file, a table to make, samples. The table that qnorm reads: log2(1 + x) as float32, a column a sample.
TABLE = (
    COMMON
    + """
import pandas as pd
from corpuscle.counts import open_counts
with open_counts(sys.argv[1]) as counts:
    n = int(sys.argv[3])
    x_ng = np.concatenate([np.log2(1 + b.x_ng.astype(np.float32)) for b in counts.unit_blocks(True, 0, n)])
    names = [str(name) for name in counts.obs.index[:n]]
start = time.perf_counter()
pd.DataFrame(x_ng.T, columns=names).to_parquet(sys.argv[2])
report(time.perf_counter() - start)
"""
)

#: ARGS: the table, where to, cores, columns at a time.
QNORM = (
    COMMON
    + """
import qnorm
values = np.random.default_rng(0).random((50, 4)).astype(np.float32)
qnorm.quantile_normalize(values, ncpus=int(sys.argv[3]))
start = time.perf_counter()
qnorm.incremental_quantile_normalize(sys.argv[1], sys.argv[2], colchunksize=int(sys.argv[4]), ncpus=int(sys.argv[3]))
report(time.perf_counter() - start)
"""
)

#: ARGS: our values, qnorm's. The largest difference over all samples.
COMPARED = (
    COMMON
    + """
import anndata, pandas as pd
ours = anndata.read_h5ad(sys.argv[1], backed="r")
theirs = pd.read_parquet(sys.argv[2])
worst = max(float(np.abs(ours.X[i] - theirs.iloc[:, i].to_numpy()).max()) for i in range(theirs.shape[1]))
report(0.0, worst=worst)
"""
)
