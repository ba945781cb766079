"""The single trainings behind docs/evidence/sce2tm.md. Each is a function of names and a seed that gives plain numbers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benches._pages import say
from corpuscle.benchmarks._engines import source_digest
from corpuscle.benchmarks._parts import Key, Parts

DATA = Path(os.environ.get("CORPUSCLE_DATA", "../shared/data"))
VIEW, GOOD = "X_view", "X_types"
#: Name -> choices, second view and what is done to it.
VARIANTS: dict[str, tuple[dict[str, Any], str | None, bool]] = {
    "default, no second view": ({}, None, False),
    "no ECR": ({"ecr_weight": 0.0}, None, False),
    "ECR as published: free vectors, weight 100": ({"normalize_embeddings": False, "ecr_contrast": False}, None, False),
    "unit sphere without contrast": ({"ecr_contrast": False}, None, False),
    "view: PCA of Pearson residuals": ({}, VIEW, False),
    "the same view, rows shuffled": ({}, VIEW, True),
    "good view: true types and noise": ({}, GOOD, False),
    "good view, weight 10": ({"cross_view_weight": 10.0}, GOOD, False),
}
GOOD_NOISE = 0.5
KANG = "perturbation/kang_ifnb_2800"
DONORS = "batch/onek1k_1000g"
HELD_OUT = 0.25


def many(name: str, work: Callable[..., Any], calls: Iterable[tuple[Any, ...]], folder: Path, jobs: int) -> list[Any]:
    """Results of ``work(*call)``, ``jobs`` at a time; those made before with the same code are not made again."""
    code = source_digest(("corpuscle.models", "benches._sce2tm_runs"))
    calls = list(calls)
    parts = Parts(folder)
    keys = {call: Key((name, *map(str, call)), {"code": code, "name": name, "call": list(call)}) for call in calls}
    found = {call: parts.read(key) for call, key in keys.items()}
    missing = [call for call, outcome in found.items() if outcome is None]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        futures = {call: pool.submit(work, *call) for call in missing}
        for i, (call, future) in enumerate(futures.items()):
            found[call] = parts.write(keys[call], {"rows": future.result()})
            say(f"  {name} {i + 1}/{len(missing)} {call}")
    return [row for outcome in found.values() for row in outcome["rows"]]


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")


def read(name: str) -> Any:
    import anndata as ad

    return ad.read_h5ad(DATA / f"{name}.h5ad")


def ablation(dataset: str, variant: str, seed: int) -> list[dict[str, Any]]:
    """Clustering scores, purity and diversity of one variant."""
    from corpuscle.benchmarks.clustering import score_embedding
    from corpuscle.benchmarks.topics import interpretation_purity, topic_diversity
    from corpuscle.models import SCE2TM
    from corpuscle.models.views import add_view

    changes, key, shuffled = VARIANTS[variant]
    adata = read(dataset)
    label_n = adata.obs["cell_type"].astype(str).to_numpy()
    rng = np.random.default_rng(seed)
    if key == VIEW:
        add_view(adata, "pearson_analytic", VIEW, seed=seed)
    elif key == GOOD:
        one_hot = (label_n[:, None] == np.unique(label_n)).astype(np.float32)
        adata.obsm[GOOD] = one_hot + rng.normal(0, GOOD_NOISE, one_hot.shape).astype(np.float32)
    if shuffled:
        adata.obsm[key] = adata.obsm[key][rng.permutation(adata.n_obs)]
    SCE2TM.setup_anndata(adata, foundation_key=key)
    model = SCE2TM(adata, seed=seed, **changes)
    model.train(progress=False)
    logits_nk = model.get_latent_representation()
    ari = score_embedding(logits_nk, label_n, random_state=seed).set_index("protocol")["ari"]
    top = model.get_topic_genes(10).groupby("topic")["gene"].apply(list).tolist()
    scores = {f"ARI, {protocol}": float(value) for protocol, value in ari.items()}
    scores |= {
        "TD": topic_diversity(top),
        "purity": interpretation_purity(logits_nk, label_n),
        "mean distance": float(model.history["mean_cost"].iloc[-1, 0]),
    }
    return [{"dataset": Path(dataset).name, "variant": variant, "seed": seed, **scores}]


def perturbation(seed: int) -> list[dict[str, Any]]:
    """The interferon study: trained and topics chosen on one half of the cells, judged on the other."""
    from corpuscle.models import SCE2TM
    from corpuscle.models.sce2tm.study import perturbation_study, stratified_halves, study_summary

    adata = read(KANG)
    control, stimulated = conditions(adata)
    strata = adata.obs["cell_type"].astype(str) + "\t" + (adata.obs["condition"] == stimulated).astype(int).astype(str)
    first_n = stratified_halves(strata.tolist(), seed)
    half = adata[first_n].copy()
    SCE2TM.setup_anndata(half)
    model = SCE2TM(half, seed=seed)
    model.train(progress=False)
    table = perturbation_study(model, adata, "condition", control, stimulated, n_random=199, seed=seed)
    return study_summary(table).assign(seed=seed).to_dict("records")


def conditions(adata: Any) -> tuple[str, str]:
    """Names of the control and the stimulated cells."""
    names = sorted(adata.obs["condition"].astype(str).unique())
    stimulated = next(name for name in names if "stim" in name.lower() or "ifn" in name.lower())
    return next(name for name in names if name != stimulated), stimulated


def transfer(seed: int) -> list[dict[str, Any]]:
    """Purity of the strongest topic in donors that were trained on, and in donors that were not."""
    from corpuscle.benchmarks.topics import interpretation_purity
    from corpuscle.models import SCE2TM

    adata = read(DONORS)
    donor_n, label_n = adata.obs["batch"].astype(str).to_numpy(), adata.obs["cell_type"].astype(str).to_numpy()
    donors = np.unique(donor_n)
    held = np.random.default_rng(seed).choice(donors, round(HELD_OUT * donors.size), replace=False)
    new_n = np.isin(donor_n, held)
    old = adata[~new_n].copy()
    SCE2TM.setup_anndata(old)
    model = SCE2TM(old, seed=seed)
    model.train(progress=False)
    seen = interpretation_purity(model.get_latent_representation(), label_n[~new_n])
    unseen = interpretation_purity(model.get_latent_representation(adata[new_n].copy()), label_n[new_n])
    return [{"seed": seed, "donors trained on": seen, "donors held out": unseen}]
