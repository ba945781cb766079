"""Bulk normalisations on a Dask cluster: bit for bit what this machine gives."""

from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.cli._app import main
from corpuscle.counts import Counts, open_counts
from corpuscle.counts._passes import PASS_CELLS
from corpuscle.errors import MethodError
from corpuscle.normalize import normalizer
from corpuscle.normalize._stream import map_values

distributed = pytest.importorskip("distributed", reason="needs corpuscle[distributed]")
METHODS = {
    "log2_qn": {}, "log_cpm": {}, "log_cpm_prior": {}, "zscore_log_cpm": {}, "tmm_cpm": {}, "mor": {}, "vst": {},
    "tpm": {"lengths": "none"}, "log_tpm": {"lengths": "none"}, "qsmooth": {"group": "tissue"},
}  # fmt: skip
N = 3 * PASS_CELLS + 40


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def written(path: Path, x: np.ndarray) -> Counts:
    obs = pd.DataFrame(
        {"tissue": [("liver", "lung", "brain")[i % 7 % 3] for i in range(len(x))]},
        index=[f"s{i}" for i in range(len(x))],
    )
    var = pd.DataFrame(index=[f"g{j}" for j in range(x.shape[1])])
    anndata.AnnData(sp.csr_matrix(x), obs=obs, var=var).write_h5ad(path)
    return open_counts(path)


def drawn() -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.negative_binomial(2, 1 / (1 + np.exp(rng.normal(2, 1.5, 60))), (N, 60)) + (rng.random((N, 60)) < 0.5)


@pytest.mark.filterwarnings("ignore::UserWarning:distributed")
def test_same_bits_on_a_cluster(tmp_path: Path, client: object) -> None:
    here = written(tmp_path / "samples.h5ad", drawn())
    there = here.on(client)
    for name, params in METHODS.items():
        one, other = normalizer(name, **params).fit(here), normalizer(name, **params).fit(there)
        learnt = {key for key in vars(one) if key.endswith("_")}
        assert learnt, name
        for key in learnt:
            np.testing.assert_array_equal(getattr(one, key), getattr(other, key), err_msg=f"{name}: {key}")
        values = np.concatenate(list(map_values(here, one, _only_values)))
        assert values.shape == (N, 60)
        np.testing.assert_array_equal(
            np.concatenate(list(map_values(there, other, _only_values))), values, err_msg=name
        )


@pytest.mark.filterwarnings("ignore::UserWarning:distributed")
def test_an_empty_sample_is_named_on_a_cluster_too(tmp_path: Path, client: object) -> None:
    x = drawn()
    x[N - 3] = 0
    with pytest.raises(MethodError, match=f"sample s{N - 3} has no counts"):
        normalizer("tmm_cpm").fit(written(tmp_path / "samples.h5ad", x).on(client))


@pytest.mark.filterwarnings("ignore::UserWarning:distributed")
def test_the_command_writes_the_same_file(tmp_path: Path, client: object) -> None:
    written(tmp_path / "bulk.h5ad", drawn()).close()
    (tmp_path / "train.txt").write_text("\n".join(f"s{i}" for i in range(0, N, 2)))
    command = ["normalize", str(tmp_path / "bulk.h5ad"), "-m", "log2_qn", "--train", str(tmp_path / "train.txt")]
    assert main([*command, "-o", str(tmp_path / "here.h5ad")]) == 0
    there = [*command, "-o", str(tmp_path / "there.h5ad"), "--scheduler", client.scheduler.address]
    assert main(there) == 0
    assert (tmp_path / "there.h5ad").read_bytes() == (tmp_path / "here.h5ad").read_bytes()


def _only_values(values_ng: np.ndarray, rows: slice) -> np.ndarray:
    return values_ng
