"""What a fitted thing was fitted on: hashes of genes, places of genes, files by their ends."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from archs4_files import bulk, write_archs4
from count_files import GENES, golden, golden_adata

from corpuscle.counts import _identity, open_counts
from corpuscle.counts._identity import check_genes, gene_hash, identities
from corpuscle.errors import GeneError


def test_hash_of_genes() -> None:
    assert gene_hash(["A", "B"]) == hashlib.sha256(b"A\nB").hexdigest()
    assert gene_hash(["B", "A"]) != gene_hash(["A", "B"]) != gene_hash(["AB"])


def test_known_genes_are_found_in_any_order() -> None:
    counts = open_counts(golden_adata(golden()))
    assert check_genes(GENES, counts, "the target").tolist() == list(range(7))
    index = check_genes(GENES[::-2], counts, "the target")
    assert (index.dtype, index.tolist()) == (np.int64, [6, 4, 2, 0])


def test_missing_genes_are_counted_and_the_first_difference_named() -> None:
    counts = open_counts(golden_adata(golden()))
    with pytest.raises(GeneError) as caught:
        check_genes(["ACTB", "XIST", "B2M", "ALB"], counts, "the target of t.npz")
    assert str(caught.value) == (
        "AnnData: 2 of the 4 genes of the target of t.npz are missing, such as XIST, ALB; the lists first differ at "
        "gene 2: XIST against MALAT1; give counts of the same reference, or fit again"
    )
    with pytest.raises(GeneError, match="the first 7 genes agree, and then there are 7 for 8"):
        check_genes([*GENES, "XIST"], counts, "the target")


def test_a_name_of_several_columns_is_refused_unless_the_lists_are_the_same(tmp_path: Path) -> None:
    path = write_archs4(tmp_path / "x.h5", bulk(3, 4), symbols=["A", "B", "A", "C"])
    with open_counts(path) as counts:
        assert check_genes(["A", "B", "A", "C"], counts, "it").tolist() == [0, 1, 2, 3]
        assert check_genes(["C", "B"], counts, "it").tolist() == [3, 1]
        with pytest.raises(GeneError, match="1 genes of it name several columns, such as A"):
            check_genes(["C", "A"], counts, "it")
        ids = ["ENSG00000000003", "ENSG00000000002"]
        assert check_genes(["C", "A"], counts, "it", ids=ids).tolist() == [3, 2]


def test_identities_of_files_folders_views_and_memory(
    golden_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_archs4(tmp_path / "x.h5", bulk())
    content = path.read_bytes()
    with open_counts(path) as counts:
        (one,) = identities(counts)
        assert one == {
            "name": "x.h5", "size": len(content), "mtime": path.stat().st_mtime,
            "sha256": hashlib.sha256(content).hexdigest(),
        }  # fmt: skip
        assert identities(counts.view(np.array([0])).view(np.array([0]))) == [one]
        monkeypatch.setattr(_identity, "END_BYTES", 100)
        assert identities(counts)[0]["sha256"] == hashlib.sha256(content[:100] + content[-100:]).hexdigest()
        monkeypatch.setattr(_identity, "END_BYTES", len(content) - 3)
        assert identities(counts)[0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert identities(open_counts(golden_adata(golden()))) == [
        {"name": "AnnData", "size": None, "mtime": None, "sha256": None}
    ]
    with open_counts(golden_files["zarr 3 csr"]) as counts:
        first = identities(counts)
        assert first == identities(counts)
        assert first[0]["size"] > 0
