"""What benches.reduce runs in processes of its own."""

from __future__ import annotations

#: Real cells resampled (Poisson around a real cell drawn at random, with its own depth), log1p of counts per 10,000, the
#: 2,000 most variable genes; entries missing by a logit of a number a cell and a number a gene, about a fifth of them.
COMMON = """
import json, resource, sys, time
import numpy as np
from scipy import sparse
import anndata as ad
from corpuscle.datasets import bundled_path
from corpuscle.reduce import UnbiasedPCA
from corpuscle.reduce._values_masks import Missing
def report(seconds, **fields):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print("@@" + json.dumps({"seconds": seconds, "peak_gib": peak} | fields))
def made(n, d, seed=0, block=5000):
    rng = np.random.default_rng(seed)
    x0_nd = sparse.csr_array(ad.read_h5ad(bundled_path("pbmc_1k_v3")).X).astype(np.float32)
    variance_d = np.asarray((x0_nd ** 2).mean(axis=0)).ravel() - np.asarray(x0_nd.mean(axis=0)).ravel() ** 2
    x0_nd = x0_nd[:, np.sort(np.argsort(-variance_d)[:d])].toarray()
    gene_d = (1.5 + 0.5 * rng.standard_normal(d)).astype(np.float32)
    values, missing = [], []
    for start in range(0, n, block):
        b = min(block, n - start)
        x_bd = rng.poisson(x0_nd[rng.integers(len(x0_nd), size=b)] * rng.gamma(4, 0.25, (b, 1)))
        x_bd = np.log1p(x_bd / np.maximum(x_bd.sum(axis=1, keepdims=True), 1) * 1e4).astype(np.float32)
        logit_bd = gene_d + 0.5 * rng.standard_normal((b, 1), dtype=np.float32)
        values.append(sparse.csr_array(x_bd))
        missing.append(sparse.csr_array(rng.random((b, d), dtype=np.float32) > 1 / (1 + np.exp(-logit_bd))))
    return sparse.vstack(values, format="csr"), sparse.vstack(missing, format="csr")
def with_nan(x_nd, missing_nd):
    return np.where(missing_nd.toarray(), np.nan, x_nd.toarray().astype(np.float64))
"""

MADE = (
    COMMON
    + """
n, d, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
x_nd, missing_nd = made(n, d)
sparse.save_npz(path + ".values.npz", x_nd, compressed=False)
sparse.save_npz(path + ".missing.npz", missing_nd, compressed=False)
report(0.0, density=x_nd.nnz / n / d, missing=missing_nd.nnz / n / d)
"""
)

#: The whole fit: checks, probabilities, operator, components, Nystrom set up.
OURS = (
    COMMON
    + """
path, form, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
x_nd, missing_nd = (sparse.csr_array(sparse.load_npz(f"{path}.{part}.npz")) for part in ("values", "missing"))
def fitted(rows):
    if form == "sparse":
        return UnbiasedPCA(k, solver="randomized", random_state=0).fit(x_nd[rows], mask=Missing(missing_nd[rows]))
    return UnbiasedPCA(k, solver="randomized", random_state=0).fit(dense_nd[rows])
dense_nd = with_nan(x_nd, missing_nd) if form == "dense" else None
fitted(slice(1500))  # imports and compiles
start = time.perf_counter()
model = fitted(slice(None))
seconds = time.perf_counter() - start
solver = model.solver_
if len(sys.argv) > 4:
    np.save(sys.argv[4], model.embedding_)
report(seconds, products=solver["n_products"], residual=solver["residual"])
"""
)

#: The same matrix formed (same means and probabilities, entry by entry), then LAPACK or ARPACK.
FORMED = (
    COMMON
    + """
import scipy.linalg
from scipy.sparse.linalg import eigsh
from corpuscle.reduce._propensity import fit_propensity
from corpuscle.reduce._values import values_of
path, solver, k, ours = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
x_nd, missing_nd = (sparse.csr_array(sparse.load_npz(f"{path}.{part}.npz")) for part in ("values", "missing"))
dense_nd = with_nan(x_nd, missing_nd)
d = dense_nd.shape[1]
start = time.perf_counter()
values = values_of(dense_nd)
propensity = fit_propensity("logit", values)
w_nd = np.where(np.isnan(dense_nd), 0.0, dense_nd - np.nanmean(dense_nd, axis=0))
weight_r, factor_nr = propensity.gram_reciprocal(3)
gram_nn = d * (w_nd @ w_nd.T) * ((factor_nr * weight_r) @ factor_nr.T)
np.fill_diagonal(gram_nn, d * np.sum(w_nd**2, axis=1) / propensity.row_sum_n())
gram_nn -= gram_nn.mean(axis=0)
gram_nn -= gram_nn.mean(axis=1, keepdims=True)
formed = time.perf_counter() - start
if solver == "eigh":
    value_n, vector_nn = scipy.linalg.eigh(gram_nn)
    value_k, vector_nk = value_n[::-1][:k], vector_nn[:, ::-1][:, :k]
else:
    value_k, vector_nk = eigsh(gram_nn, k, which="LA", v0=np.ones(len(gram_nn)) + np.arange(len(gram_nn)) % 7)
    value_k, vector_nk = value_k[::-1], vector_nk[:, ::-1]
seconds = time.perf_counter() - start
embedding_nk = np.load(ours)
mine_nk = vector_nk * np.sqrt(value_k)
mine_nk = mine_nk * np.sign(np.sum(mine_nk * embedding_nk, axis=0))
error_k = np.linalg.norm(mine_nk - embedding_nk, axis=0) / np.linalg.norm(mine_nk, axis=0)
report(seconds, formed=formed, error=float(error_k.max()))
"""
)

#: Not the same question: what ordinary PCA of the mean-filled data costs.
MEAN_FILL = (
    COMMON
    + """
from sklearn.decomposition import PCA, IncrementalPCA
path, name, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
x_nd, missing_nd = (sparse.csr_array(sparse.load_npz(f"{path}.{part}.npz")) for part in ("values", "missing"))
start = time.perf_counter()
observed_d = x_nd.shape[0] - np.asarray(missing_nd.sum(axis=0)).ravel()
kept_nd = x_nd - x_nd.multiply(missing_nd)
mean_d = np.asarray(kept_nd.sum(axis=0)).ravel() / np.maximum(observed_d, 1)
def filled(rows):
    return np.where(missing_nd[rows].toarray(), mean_d, x_nd[rows].toarray()).astype(np.float32)
if name == "PCA":
    PCA(k, svd_solver="randomized", random_state=0).fit_transform(filled(slice(None)))
else:
    model = IncrementalPCA(k)
    spans = [slice(at, at + 5000) for at in range(0, x_nd.shape[0], 5000)]
    for span in spans:
        model.partial_fit(filled(span))
    embedding_nk = np.concatenate([model.transform(filled(span)) for span in spans])
report(time.perf_counter() - start)
"""
)
