"""What each process of the corpus benchmark does; imports and compilation come before the clock starts."""

#: Warms every code path on the golden cells, then builds the data set of sys.argv[1].
OURS = """
import tempfile
from pathlib import Path
from corpuscle.corpus import tokenize
from benches._cells import GOLDEN
with tempfile.TemporaryDirectory() as folder:
    tokenize(GOLDEN, Path(folder) / "warm.dataset", attrs={"cell_id": "cell_id"})
    with Cost() as cost:
        made = tokenize(sys.argv[1], Path(folder) / "out.dataset", attrs={"kind": "kind"})
    report(cost, cells=made.rows, tokens=made.tokens)
"""

#: The whole input read and decompressed, in the blocks that we read, and nothing done with it.
READ = """
import h5py
from corpuscle.corpus._units import BLOCK_CELLS
with Cost() as cost:
    with h5py.File(sys.argv[1]) as file:
        indptr = file["X/indptr"][:]
        for start in range(0, indptr.size - 1, BLOCK_CELLS):
            rows = slice(indptr[start], indptr[min(start + BLOCK_CELLS, indptr.size - 1)])
            file["X/indices"][rows], file["X/data"][rows]
report(cost)
"""

#: sys.argv: the package folder of the reference, the file, where its data set goes.
REFERENCE = """
import importlib, os, tempfile
from pathlib import Path
package, source, out = map(Path, sys.argv[1:])
os.environ["HF_DATASETS_CACHE"] = str(out / "cache")
sys.path.insert(0, str(package.parent))
tokenizer = importlib.import_module(package.name + ".tokenizer").TranscriptomeTokenizer
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / source.name).symlink_to(source.resolve())
    made = tokenizer({"kind": "kind"}, nproc=1, model_version="V1")
    with Cost() as cost:
        made.tokenize_data(folder, str(out), "reference", file_format="h5ad")
from datasets import load_from_disk
report(cost, cells=len(load_from_disk(str(out / "reference.dataset"))))
"""

#: Every token of the reference's data set in sys.argv[2] against ours.
SAME_TOKENS = """
import hashlib, tempfile
from pathlib import Path
import numpy as np
from datasets import load_from_disk
from corpuscle.corpus import tokenize
def rows(made):
    lengths = np.concatenate([np.diff(np.asarray(b.column("input_ids").offsets)) for b in made.data.to_batches()])
    flat = np.concatenate([np.asarray(b.column("input_ids").flatten()).astype("<i4") for b in made.data.to_batches()])
    return hashlib.sha256(lengths.astype("<i4").tobytes() + flat.tobytes()).hexdigest(), flat.size
with tempfile.TemporaryDirectory() as folder, Cost() as cost:
    tokenize(sys.argv[1], Path(folder) / "out.dataset")
    ours = rows(load_from_disk(str(Path(folder) / "out.dataset")))
    theirs = rows(load_from_disk(str(Path(sys.argv[2]) / "reference.dataset")))
report(cost, same=ours == theirs, tokens=ours[1])
"""

#: One core. sys.argv[2]: "update" for the histogram alone, on the values that crick gets too, or "all" for the command.
MEDIANS = """
import os
import numpy as np
from corpuscle.corpus import medians, plan_genes, GeneOptions
from corpuscle.corpus._histogram import GeneHistograms
from corpuscle.corpus._depth import totals
from corpuscle.counts import open_counts
from benches._cells import GOLDEN
os.sched_setaffinity(0, {0})
medians(GOLDEN)
with open_counts(sys.argv[1]) as counts:
    n_values = int(sum(block.x_ng.nnz for block in counts.blocks()))
    ids = medians(GOLDEN).gene_ids
    slot_f = plan_genes(counts.var, ids, GeneOptions(), source=counts.name).slot_f
    if sys.argv[2] == "update":
        blocks = [block.x_ng for block in counts.blocks(1024, stop=10_000)]
        depth = [totals(x) for x in blocks]
        n_values = sum(int((slot_f[x.indices] >= 0).sum()) for x in blocks)
        GeneHistograms(len(ids)).update((blocks[0].data, blocks[0].indices, blocks[0].indptr), slot_f, depth[0])
        histograms = GeneHistograms(len(ids))
        with Cost() as cost:
            for x, depth_n in zip(blocks, depth):
                histograms.update((x.data, x.indices, x.indptr), slot_f, depth_n)
if sys.argv[2] == "all":
    with Cost() as cost:
        made = medians(sys.argv[1])
    n_values = int(made.n_nonzero_g.sum())
report(cost, values=n_values)
"""

#: crick's digests filled from the same 10,000 cells, the values of a gene in one call, as the reference does.
CRICK = """
import os
import numpy as np
from crick import TDigest
from corpuscle.corpus import medians, plan_genes, GeneOptions
from corpuscle.corpus._depth import totals
from corpuscle.counts import open_counts
from benches._cells import GOLDEN
import scipy.sparse as sp
os.sched_setaffinity(0, {0})
ids = medians(GOLDEN).gene_ids
with open_counts(sys.argv[1]) as counts:
    slot_f = plan_genes(counts.var, ids, GeneOptions(), source=counts.name).slot_f
    x = sp.vstack([block.x_ng for block in counts.blocks(1024, stop=10_000)], format="csr")
values = (sp.diags(1 / totals(x)) @ x * 10_000).tocsc()
columns = [values.data[values.indptr[f] : values.indptr[f + 1]].copy() for f in np.flatnonzero(slot_f >= 0)]
with Cost() as cost:
    for column in columns:
        TDigest().update(column)
report(cost, values=sum(column.size for column in columns))
"""
