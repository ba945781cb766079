"""What benches.pairs runs in processes of its own."""

from __future__ import annotations

#: Peak memory is of the whole process, imports and all, since that is what a machine must have.
COMMON = """
import json, math, resource, sys, time
from corpuscle.corpus.pairs.prepare import QCRules, prepare
# The sample has more mitochondrial counts than the usual rule allows: most of its cells would be gone before the work starts.
rules = QCRules(mito_percent=30, mito_mads=math.inf)
def report(seconds, **fields):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print("@@" + json.dumps({"seconds": seconds, "peak_gib": peak} | fields))
"""

BUILD = (
    COMMON
    + """
from pathlib import Path
from corpuscle.corpus.pairs.build import build_pairs
source, small, out, format = sys.argv[1:5]
options = dict(format=format, caption="This is a {cell_type} from {tissue}.", group="donor", embeddings=("hvg", "pca"), seed=0, rules=rules)
build_pairs([small], out + "-small", **options)  # imports and compiles
start = time.perf_counter()
build_pairs([source], out, **options)
seconds = time.perf_counter() - start
from datasets import load_from_disk
made = load_from_disk(out)
files = [path for path in Path(out).rglob("*") if path.is_file()]
report(seconds, rows={name: len(part) for name, part in made.items()}, bytes=sum(path.stat().st_size for path in files))
"""
)

EMBED = (
    COMMON
    + """
from corpuscle.corpus.pairs.embedders import embed_block, embedder, fit_embedders
def work(path, words):
    prepared = prepare([path], rules=rules)
    fitted = [embedder(word) for word in words]
    start = time.perf_counter()
    for block in prepared.blocks():
        pass
    read = time.perf_counter()
    fit_embedders(fitted, prepared.blocks)
    fit = time.perf_counter()
    inside = 0.0
    for block in prepared.blocks():
        begin = time.perf_counter()
        embed_block(fitted, block)
        inside += time.perf_counter() - begin
    return read - start, fit - read, inside, prepared.n_obs
words = sys.argv[3].split(";")
work(sys.argv[2], words)  # imports and compiles
read, fit, transform, n = work(sys.argv[1], words)
report(fit + transform, read=read, fit=fit, transform=transform, cells=n)
"""
)

NEGATIVES = (
    COMMON
    + """
import numpy as np
from corpuscle.corpus.pairs.negatives import NegativePolicy, draw_negatives
n, k = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
caption_n = np.array([f"caption {i}" for i in range(40)], object)[rng.integers(40, size=n)]
batch_n = np.array([f"batch {i}" for i in range(20)], object)[rng.integers(20, size=n)]
policy = NegativePolicy(n=k, seed=0)
draw_negatives(caption_n[:1000], batch_n[:1000], policy)
start = time.perf_counter()
drawn = draw_negatives(caption_n, batch_n, policy)
seconds = time.perf_counter() - start
index_nk = drawn.index_nk
assert (index_nk >= 0).all() and (caption_n[index_nk] != caption_n[:, None]).all()
report(seconds, drawn=int(index_nk.size), distinct=int(np.unique(index_nk).size))
"""
)
