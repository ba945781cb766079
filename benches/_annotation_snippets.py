"""What each process of benches/annotate.py runs: it reads the cells, measures its work and reports."""

from __future__ import annotations

#: argv: graph file, scores file, options of ours as JSON.
READ = """
import json, resource
import numpy as np, scipy.sparse as sp
weights_nn, p0_nk = sp.load_npz(sys.argv[1]), np.load(sys.argv[2])
options = json.loads(sys.argv[3])
n, n_types = p0_nk.shape
lam = options.get("lam", 1.0)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
def wide():
    w = weights_nn.astype(np.float64)
    return (sp.diags_array(1 + lam * np.asarray(w.sum(axis=1)).ravel()) - lam * w).tocsc()
"""

OURS = (
    READ
    + """
from corpuscle.annotate._graph import as_graph
from corpuscle.annotate.refine import solve
few = sp.random_array((3000, 3000), density=0.002, rng=np.random.default_rng(0), format="csr", dtype=np.float32)
for shape in (40, 8):
    solve(np.ones((3000, shape), p0_nk.dtype), few + few.T, solver="pcg")  # compiles
with Cost() as checking:
    graph = as_graph(weights_nn, n)
with Cost() as cost:
    found = solve(p0_nk, graph, **options)
if len(sys.argv) > 4:
    np.save(sys.argv[4], found.values_nk)
report(cost, graph=checking.seconds, iterations=found.iterations, residual=found.residual, peak_gib=peak(),
       degree=graph.median_degree, components=graph.n_components, stored=graph.weights_nn.nnz / n)
"""
)

#: argv[4]: file with our values, to compare.
COMPARED = """
ours_nk = np.load(sys.argv[4])
report(cost, peak_gib=peak(), apart=float(np.abs(values_nk - ours_nk).max() / np.abs(p0_nk).max()),
       labels=float((values_nk.argmax(axis=1) == ours_nk.argmax(axis=1)).mean()))
"""

SPSOLVE = (
    READ
    + """
from scipy.sparse.linalg import spsolve
system_nn = wide()
with Cost() as cost:
    values_nk = spsolve(system_nn, p0_nk.astype(np.float64))
"""
    + COMPARED
)

CG = (
    READ
    + """
from scipy.sparse.linalg import LinearOperator, cg
system_nn = wide().tocsr()
inverse_n = 1 / system_nn.diagonal()
jacobi = LinearOperator((n, n), matvec=lambda r: inverse_n * r)
with Cost() as cost:
    values_nk = np.stack([cg(system_nn, p0_nk[:, k].astype(np.float64), rtol=1e-4, M=jacobi)[0] for k in range(n_types)], axis=1)
"""
    + COMPARED
)

#: Hard labels, which is all that it takes: the best type of each cell. Ours gets the same and the same alpha.
SPREADING = (
    READ
    + """
from sklearn.semi_supervised import LabelSpreading
from corpuscle.annotate.refine import solve
best_n = p0_nk.argmax(axis=1)
onehot_nk = (best_n[:, None] == np.arange(n_types)).astype(np.float32)
few = sp.random_array((3000, 3000), density=0.002, rng=np.random.default_rng(0), format="csr", dtype=np.float32)
for shape in (40, 8):
    solve(np.ones((3000, shape), np.float32), few + few.T, solver="pcg")  # compiles
with Cost() as mine:
    found = solve(onehot_nk, weights_nn, lam=1.0, laplacian="symmetric", solver="pcg")
spreading = LabelSpreading(kernel=lambda a, b: weights_nn.astype(np.float64), alpha=0.5)
import warnings
warnings.simplefilter("ignore")  # it warns where its own tolerance, an absolute sum over all cells, is not reached
with Cost() as cost:
    spreading.fit(np.arange(float(n))[:, None], best_n)
share_nk = found.values_nk / found.values_nk.sum(axis=1, keepdims=True)
theirs_nk = spreading.label_distributions_
seen_k = spreading.classes_
report(cost, ours=mine.seconds, rounds=int(spreading.n_iter_), peak_gib=peak(),
       apart=float(np.abs(theirs_nk - share_nk[:, seen_k]).max()),
       labels=float((seen_k[theirs_nk.argmax(axis=1)] == share_nk.argmax(axis=1)).mean()))
"""
)

#: argv: coordinates, engine, k. Recall is of the k nearest others, on cells whose neighbours were found exactly.
NEIGHBOURS = """
import numpy as np, warnings, resource
warnings.simplefilter("ignore")
x_nd, engine, k = np.load(sys.argv[1]), sys.argv[2], int(sys.argv[3])
n = len(x_nd)
from sklearn.neighbors import NearestNeighbors
def search(x_nd):
    if engine.startswith("pynndescent"):
        from pynndescent import NNDescent
        jobs = 1 if engine.endswith("1") else None
        return NNDescent(x_nd, n_neighbors=k, random_state=0, n_jobs=jobs).neighbor_graph[0]
    if engine == "scikit-learn":
        return NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=-1).fit(x_nd).kneighbors(x_nd, return_distance=False)
    import anndata as ad, scanpy as sc
    adata = ad.AnnData(obsm={"X": x_nd}, obs={"cell": np.arange(len(x_nd)).astype(str)})
    sc.pp.neighbors(adata, n_neighbors=k, use_rep="X", random_state=0)
    return adata.obsp["distances"].tolil().rows
search(x_nd[:9000])  # imports and compiles
with Cost() as cost:
    found = search(x_nd)
sample = np.random.default_rng(0).choice(n, min(n, 1000), replace=False)
exact = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x_nd).kneighbors(x_nd[sample], return_distance=False)
hits = [len((set(found[i]) & set(row)) - {i}) / (k - 1) for i, row in zip(sample, exact)]
report(cost, recall=float(np.mean(hits)), peak_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
