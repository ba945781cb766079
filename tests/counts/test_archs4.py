"""Files of ARCHS4: what is read from each layout, what is missing, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from archs4_files import LAYOUTS, bulk, metadata, write_archs4

from corpuscle.cli import main
from corpuscle.counts import open_counts
from corpuscle.counts._duplicates import one_per_symbol
from corpuscle.counts._sample_flags import sample_flags
from corpuscle.counts.inspect import inspect_counts
from corpuscle.errors import NotCountsError, OptionError, SourceError


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_samples_genes_and_metadata_under_the_same_names(layout: str, tmp_path: Path) -> None:
    x_ng = bulk()
    with open_counts(write_archs4(tmp_path / "x.h5", x_ng, layout, chunks=(4, 3), compression="gzip")) as counts:
        np.testing.assert_array_equal(np.vstack([b.x_ng for b in counts.dense_blocks(2)]), x_ng)
        np.testing.assert_array_equal(counts.to_csr().toarray(), x_ng)
        assert list(counts.obs.index) == [f"GSM{i}" for i in range(7)]
        assert list(counts.obs["series_id"]) == [f"GSE{i // 3}" for i in range(7)]
        assert list(counts.obs["source_name_ch1"]) == ["Leber"] * 7
        assert counts.obs["title"].iloc[0] == "caf\ufffd"
        assert counts.obs["alignedreads"].isna().all()
        np.testing.assert_allclose(counts.obs["singlecellprobability"], np.linspace(0, 1, 7))
        names = [f"ENST{i:011d}" for i in range(11)] if layout == "transcripts" else [f"SYM{i}" for i in range(11)]
        assert list(counts.var_names) == names
        assert ("gene_id" in counts.var) == (layout in ("v2.2", "v2.1"))
        assert counts.uns["layout"] == f"ARCHS4 {layout}"
        assert (counts.uns["version"], counts.uns["creation_date"]) == ("7" if layout == "v1" else "2.x", "2022-01-01")
        assert counts.uns["missing_fields"] == []
        assert counts.uns["chunking"] == "4 genes x 3 samples, gzip 4"


def test_fields_of_the_first_version_that_have_other_names_now(tmp_path: Path) -> None:
    fields = {name: values for name, values in metadata(7).items() if name != "alignedreads"}
    path = write_archs4(tmp_path / "x.h5", bulk(), "v1", fields=fields)
    with h5py.File(path, "r+") as file:
        file["meta/reads_aligned"] = np.arange(7.0)
        file["meta/gene_chromosome"] = np.array(["1"] * 11, "S")
        file["meta/odd"] = np.arange(5)
    with open_counts(path) as counts:
        assert list(counts.obs["alignedreads"]) == list(range(7))
        assert list(counts.var["gene_chromosome"]) == ["1"] * 11
        assert counts.uns["unusable_fields"] == ["odd"]


def test_missing_fields_are_said_and_nothing_is_invented(tmp_path: Path) -> None:
    left_out = ("series_id", "singlecellprobability", "geo_accession")
    path = write_archs4(tmp_path / "x.h5", bulk(), leave_out=left_out)
    with open_counts(path) as counts:
        assert counts.uns["missing_fields"] == ["geo_accession", "series_id", "singlecellprobability"]
        assert list(counts.obs.index) == [str(i) for i in range(7)]
        flags = sample_flags(counts)
        assert flags["single_cell_like"].isna().all()
        assert "no field singlecellprobability" in flags.attrs["notes"][0]


def test_no_metadata_at_all_and_a_field_of_another_length(tmp_path: Path) -> None:
    path = write_archs4(tmp_path / "x.h5", bulk(), fields={})
    with open_counts(path) as counts:
        assert list(counts.obs.columns) == []
        np.testing.assert_array_equal(counts.to_csr().toarray(), bulk())
    path = write_archs4(
        tmp_path / "y.h5", bulk(), fields={"geo_accession": metadata(7)["geo_accession"], "title": [1, 2]}
    )
    with open_counts(path) as counts:
        assert counts.uns["unusable_fields"] == ["title"]


def test_samples_x_genes_is_read_rightly_where_the_names_tell(tmp_path: Path) -> None:
    with open_counts(
        write_archs4(tmp_path / "x.h5", bulk(), cells_axis=0, chunks=(3, 4), compression="gzip")
    ) as counts:
        np.testing.assert_array_equal(counts.to_csr().toarray(), bulk())


def test_a_square_matrix_is_genes_x_samples(tmp_path: Path) -> None:
    x_ng = bulk(5, 5)
    with open_counts(write_archs4(tmp_path / "x.h5", x_ng)) as counts:
        np.testing.assert_array_equal(counts.to_csr().toarray(), x_ng)


def test_names_that_do_not_fit(tmp_path: Path) -> None:
    path = write_archs4(tmp_path / "x.h5", bulk(), symbols=[f"S{i}" for i in range(9)])
    with pytest.raises(SourceError, match=r"is 11 x 7 but the file names 9 genes and 7 samples"):
        open_counts(path)
    path = write_archs4(tmp_path / "y.h5", bulk())
    with h5py.File(path, "r+") as file:
        del file["meta/genes/symbol"], file["meta/genes/ensembl_gene"]
        file["meta/genes/biotype"] = np.array(["x"] * 11, "S")
    with pytest.raises(SourceError, match=r"its genes have no names: looked for symbol, .*it has: biotype"):
        open_counts(path)


@pytest.mark.parametrize(("value", "kind"), [(2.5, "fractional"), (-1.0, "negative"), (np.nan, "NaN")])
def test_a_matrix_of_floats_must_be_whole_numbers(value: float, kind: str, tmp_path: Path) -> None:
    x_ng = bulk().astype(np.float32)
    with open_counts(write_archs4(tmp_path / "x.h5", x_ng, chunks=(4, 3))) as counts:
        block = next(counts.dense_blocks())
        assert block.x_ng.dtype == np.uint32
        np.testing.assert_array_equal(block.x_ng, bulk())
    x_ng[5, 3] = value
    path = write_archs4(tmp_path / "y.h5", x_ng, chunks=(4, 3))
    with pytest.raises(NotCountsError, match=rf"\({kind}\) at cell GSM5, gene SYM3"):
        open_counts(path)
    with open_counts(path, check=False) as counts, pytest.raises(NotCountsError, match="cell GSM5, gene SYM3"):
        list(counts.dense_blocks(3))


# -- symbols and samples ------------------------------------------------------------------------------------------------


def test_of_one_symbol_the_gene_with_most_counts_is_kept_and_never_the_sum(tmp_path: Path) -> None:
    x_ng = np.array([[5, 1, 2, 3, 7, 9], [5, 1, 9, 3, 7, 9]], np.uint32)
    path = write_archs4(tmp_path / "x.h5", x_ng, symbols=["A", "B", "A", "B", "C", "C"])
    with open_counts(path) as counts:
        index, notes = one_per_symbol(counts)
        assert list(index) == [2, 3, 5]
        assert "3 symbols stand for several genes" in notes[0]
        assert "3 are left out" in notes[0]
        counts.profile()
        assert list(one_per_symbol(counts)[0]) == [2, 3, 5]
        np.testing.assert_array_equal(counts.view(genes=index).to_csr().toarray(), x_ng[:, [2, 3, 5]])
    path = write_archs4(tmp_path / "tie.h5", np.array([[4, 4, 1], [1, 1, 1]], np.uint32), symbols=["A", "A", "B"])
    with open_counts(path) as counts:
        assert list(one_per_symbol(counts)[0]) == [0, 2]


def test_genes_whose_names_differ_are_all_kept_without_reading(tmp_path: Path) -> None:
    with open_counts(write_archs4(tmp_path / "x.h5", bulk()), check=False) as counts:
        counts.sources[0].matrix.dense = counts.sources[0].matrix.rows = None  # a read would fail
        assert (list(one_per_symbol(counts)[0]), one_per_symbol(counts)[1]) == (list(range(11)), [])


def test_flags_of_samples(tmp_path: Path) -> None:
    x_ng = bulk()
    x_ng[2] *= 1000
    fields = metadata(7) | {"singlecellprobability": np.array([0.5, 0.49, np.nan, 1, 0, 0, 0])}
    with open_counts(write_archs4(tmp_path / "x.h5", x_ng, fields=fields)) as counts:
        flags = sample_flags(counts, min_reads=x_ng[2].sum(), min_genes=int((x_ng[0] > 0).sum()))
        assert list(flags.index) == [f"GSM{i}" for i in range(7)]
        assert list(flags["depth"]) == x_ng.sum(1).tolist()
        assert list(flags["genes"]) == (x_ng > 0).sum(1).tolist()
        assert flags["single_cell_like"].astype(object).where(flags["single_cell_like"].notna(), None).tolist() == [
            True, False, None, True, False, False, False,
        ]  # fmt: skip
        assert flags["shallow"].tolist() == [True, True, False, True, True, True, True]
        assert flags["few_genes"].tolist() == ((x_ng > 0).sum(1) < (x_ng[0] > 0).sum()).tolist()
        assert "1 of 7 samples have no number" in flags.attrs["notes"][0]
        with pytest.raises(OptionError, match="max_single_cell"):
            sample_flags(counts, max_single_cell=2)
        with pytest.raises(OptionError, match="min_reads"):
            sample_flags(counts, min_reads=float("nan"))


def test_inspect_tells_layout_chunks_repeats_flags_and_missing_fields(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = metadata(7) | {"geo_accession": np.array(["GSM1", "GSM1", *[f"G{i}" for i in range(5)]], "S")}
    del fields["title"]
    symbols = ["A", "A", *[f"S{i}" for i in range(9)]]
    path = write_archs4(tmp_path / "x.h5", bulk(), symbols=symbols, fields=fields, chunks=(4, 3))
    bulk_file = inspect_counts(path).bulk
    assert (bulk_file.layout, bulk_file.version, bulk_file.series) == ("ARCHS4 v2.2", "2.x", 3)
    assert (bulk_file.single_cell_like, bulk_file.shallow, bulk_file.few_genes) == (4, 7, 7)
    assert main(["inspect", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)[0]
    assert said["bulk"]["missing_fields"] == ["title"]
    assert said["duplicate_genes"] == {"n": 1, "examples": ["A"]}
    assert said["duplicate_cells"] == {"n": 1, "examples": ["GSM1"]}
    assert main(["inspect", str(path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "ARCHS4 v2.2, version 2.x, of 2022-01-01",
        "4 genes x 3 samples",
        "4 single-cell-like",
        "fields title",
    ):
        assert words in text
    assert "keep the one with most counts" in text


def test_what_is_not_archs4_has_no_bulk_facts(golden_files: dict[str, Path]) -> None:
    assert inspect_counts(golden_files["h5ad dense"]).bulk is None
