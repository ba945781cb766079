"""Gene lengths from annotations and tables, and transcripts per million made of them."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.counts import Counts, MemorySource
from corpuscle.errors import GeneError, MethodError, OptionError, SourceError
from corpuscle.normalize import normalizer
from corpuscle.normalize._exons import _union_lengths
from corpuscle.normalize.gene_lengths import gene_lengths

GTF = """\
#!genome-build made up
chr1\tX\tgene\t100\t9999\t.\t+\t.\tgene_id "ENSG00000000001.4"; gene_name "AAA";
chr1\tX\ttranscript\t100\t9999\t.\t+\t.\tgene_id "ENSG00000000001.4"; transcript_id "T1"; gene_name "AAA";
chr1\tX\texon\t100\t199\t.\t+\t.\tgene_id "ENSG00000000001.4"; transcript_id "T1"; gene_name "AAA";
chr1\tX\texon\t9900\t9999\t.\t+\t.\tgene_id "ENSG00000000001.4"; transcript_id "T1"; gene_name "AAA";
chr1\tX\texon\t150\t249\t.\t+\t.\tgene_id "ENSG00000000001.4"; transcript_id "T2"; gene_name "AAA";
chrX\tX\texon\t1\t70\t.\t-\t.\tgene_id "ENSG00000000002.1"; transcript_id "T3"; gene_name "BBB";
chrY\tX\texon\t501\t580\t.\t-\t.\tgene_id "ENSG00000000002.1_PAR_Y"; transcript_id "T3_PAR_Y"; gene_name "BBB";
"""
GFF = """\
##gff-version 3
1\tX\tgene\t100\t9999\t.\t+\t.\tID=gene:ENSG00000000001;Name=AAA
1\tX\tmRNA\t100\t9999\t.\t+\t.\tID=transcript:T1;Parent=gene:ENSG00000000001
1\tX\texon\t100\t199\t.\t+\t.\tParent=transcript:T1
1\tX\texon\t9900\t9999\t.\t+\t.\tParent=transcript:T1
1\tX\tmRNA\t100\t9999\t.\t+\t.\tID=transcript:T2;Parent=gene:ENSG00000000001
1\tX\texon\t150\t249\t.\t+\t.\tParent=transcript:T2
"""


def as_counts(x, genes: list[str], **columns) -> Counts:
    obs = pd.DataFrame(index=[f"sample{i}" for i in range(len(x))])
    return Counts([MemorySource(sp.csr_matrix(np.array(x)), obs, pd.DataFrame(columns, index=genes))])


def written(folder: Path, text: str, name: str = "genes.gtf") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_gtf_lengths_leave_introns_out_and_count_shared_exons_once(tmp_path: Path) -> None:
    table = gene_lengths(written(tmp_path, GTF))
    assert table.gene_id.tolist() == ["ENSG00000000001", "ENSG00000000002"]
    assert table.symbol.tolist() == ["AAA", "BBB"]
    assert table.length.tolist() == [250, 70]  # 100-249 and 9900-9999; the copy on Y is not added
    assert table.mean_transcript.tolist() == [150.0, 70.0]
    assert table.longest_transcript.tolist() == [200, 70]


def test_gff3_and_gzip_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "genes.gff3.gz").write_bytes(gzip.compress(GFF.encode()))
    (row,) = gene_lengths(tmp_path / "genes.gff3.gz").itertuples(index=False)
    assert tuple(row) == ("ENSG00000000001", "AAA", 250, 150.0, 200)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60), st.integers(0, 20)), min_size=1, max_size=40))
def test_union_is_the_set_of_nucleotides(exons: list[tuple[int, int, int]]) -> None:
    gene, start, more = (np.array(column) for column in zip(*exons, strict=True))
    covered = [set() for _ in range(4)]
    for g, first, n in exons:
        covered[g] |= set(range(first, first + n + 1))
    assert _union_lengths(gene, start, start + more, 4).tolist() == [len(one) for one in covered]


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_tables(tmp_path: Path, separator: str) -> None:
    lines = [["Gene", "Symbol", "Length"], ["ENSG00000000001.4", "AAA", "1200"], ["ENSG00000000002", "BBB", "NA"]]
    path = written(tmp_path, "\n".join(separator.join(line) for line in lines) + "\n", "lengths.txt")
    table = gene_lengths(path)
    assert table.gene_id.tolist() == ["ENSG00000000001", "ENSG00000000002"]
    assert table.symbol.tolist() == ["AAA", "BBB"]
    np.testing.assert_array_equal(table.length, [1200, np.nan])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("gene\tlength\nA\t-5\n", "length of A is '-5'"),
        ("gene\tlength\nA\tlong\n", "length of A is 'long'"),
        ("gene\tsize\nA\t5\n", "has the columns gene, size"),
        (GTF + "chr1\tX\texon\t20\t10\t.\t+\t.\tgene_id \"A\";\n", "line 9 ends"),
        (GTF + "chr1\tX\texon\n", "line 9 is not one of a GTF"),
        (GTF.replace("\texon\t", "\tCDS\t"), "has no exon"),
    ],
)  # fmt: skip
def test_bad_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        gene_lengths(written(tmp_path, text))


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        gene_lengths(tmp_path / "none.gtf")
    packed = gzip.compress((GTF * 50).encode())
    (tmp_path / "cut.gtf.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(SourceError, match="damaged gzip"):
        gene_lengths(tmp_path / "cut.gtf.gz")


def test_a_feature_that_is_its_own_parent_ends(tmp_path: Path) -> None:
    loop = "1\tX\tmRNA\t1\t9\t.\t+\t.\tID=a;Parent=a\n1\tX\texon\t1\t9\t.\t+\t.\tParent=a\n"
    assert gene_lengths(written(tmp_path, loop)).gene_id.tolist() == ["a"]


# -- TPM --------------------------------------------------------------------------------------------------------


def test_tpm_is_the_share_of_rates(tmp_path: Path) -> None:
    path = written(tmp_path, GTF)
    counts = as_counts([[25, 14, 0], [0, 7, 0]], ["ENSG00000000001.9", "ENSG00000000002", "ENSG9"])
    method = normalizer("tpm", lengths=str(path)).fit(counts)
    rate = np.array([[25 / 250, 14 / 70, 0], [0, 7 / 70, 0]])
    values = method.transform(counts).toarray()
    np.testing.assert_allclose(values, 1e6 * rate / rate.sum(axis=1, keepdims=True), rtol=1e-13)
    np.testing.assert_allclose(values.sum(axis=1), 1e6)
    log = normalizer("log_tpm", lengths=str(path)).fit(counts).transform(counts).toarray()
    np.testing.assert_allclose(log, np.log2(1 + values), rtol=1e-13)
    assert method.n_without_length_ == 1 and "ENSG9" in method.notes_ and "0.00%" in method.notes_
    longest = normalizer("tpm", lengths=str(path), length="longest_transcript").fit(counts)
    np.testing.assert_allclose(longest.per_length_g_[:2], [1 / 200, 1 / 70])


def test_genes_are_joined_by_id_and_then_by_symbol(tmp_path: Path) -> None:
    path = written(tmp_path, GTF)
    by_symbol = normalizer("tpm", lengths=str(path)).fit(as_counts([[3, 4]], ["BBB", "AAA"]))
    np.testing.assert_allclose(by_symbol.per_length_g_, [1 / 70, 1 / 250])
    ids = as_counts([[3, 4]], ["AAA", "unknown"], gene_id=["ENSG00000000002.7", "ENSG00000000001"])
    np.testing.assert_allclose(normalizer("tpm", lengths=str(path)).fit(ids).per_length_g_, [1 / 70, 1 / 250])
    series = pd.Series({"BBB": 500, "AAA": 1000})
    given_ = normalizer("tpm", lengths=series).fit(as_counts([[3, 4]], ["AAA", "BBB"]))
    np.testing.assert_allclose(given_.per_length_g_, [1 / 1000, 1 / 500])


def test_effective_lengths_are_never_below_fifty() -> None:
    lengths = pd.Series({"a": 1000, "b": 230, "c": 20})
    method = normalizer("tpm", lengths=lengths, fragment_length=200).fit(as_counts([[1, 1, 1]], ["a", "b", "c"]))
    np.testing.assert_allclose(method.per_length_g_, [1 / 801, 1 / 50, 1 / 50])


def test_equal_lengths_are_counts_per_million() -> None:
    counts = as_counts([[3, 0, 9], [1, 1, 0]], ["a", "b", "c"])
    values = normalizer("log_tpm", lengths="none", fragment_length=180.0).fit(counts).transform(counts).toarray()
    expected = normalizer("log_cpm").fit(counts).transform(counts).toarray()
    np.testing.assert_allclose(values, expected, rtol=1e-13)


def test_tpm_says_what_cannot_be(tmp_path: Path) -> None:
    counts = as_counts([[10, 40], [0, 5]], ["AAA", "mystery"])
    path = written(tmp_path, GTF)
    with pytest.raises(GeneError, match=r"1 of 2 genes have no length, such as mystery.*18\.2% of all counts"):
        normalizer("tpm", lengths=str(path)).fit(counts)
    with pytest.raises(OptionError, match="give lengths=FILE"):
        normalizer("tpm").fit(counts)
    with pytest.raises(OptionError, match="length is 'span'"):
        normalizer("tpm", lengths=str(path), length="span").fit(counts)
    table = written(tmp_path, "gene\tlength\nAAA\t5\n", "t.tsv")
    with pytest.raises(OptionError, match="one length a gene"):
        normalizer("tpm", lengths=str(table), length="mean_transcript").fit(counts)
    mostly = as_counts([[90, 1], [0, 5]], ["AAA", "mystery"])
    method = normalizer("tpm", lengths=str(path)).fit(mostly)
    with pytest.raises(MethodError, match="sample1 has counts only of genes without a length"):
        method.transform(mostly)
