"""Model-ready data sets on disk: quality control, non-zero medians, vocabularies and rank-value tokens."""

from corpuscle.corpus.build_vocab import build_vocab
from corpuscle.corpus.compat import TranscriptomeTokenizer
from corpuscle.corpus.encode import Encoded, RankEncoder
from corpuscle.corpus.encode_table import encode
from corpuscle.corpus.facts import CorpusFacts, corpus_facts
from corpuscle.corpus.gene_plan import GeneMatch, GeneOptions, GenePlan, plan_genes
from corpuscle.corpus.load import load
from corpuscle.corpus.medians import medians
from corpuscle.corpus.medians_io import Medians, read_medians
from corpuscle.corpus.presets import PRESETS, resolve_vocabulary
from corpuscle.corpus.qc import QCResult, run_qc
from corpuscle.corpus.qc_files import QCFolder, read_qc
from corpuscle.corpus.tokenize import Corpus, tokenize
from corpuscle.corpus.verify import VerifyReport, verify
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.corpus.vocabulary_io import read_aliases, read_vocab, write_vocab

__all__ = [
    "PRESETS",
    "Corpus",
    "CorpusFacts",
    "Encoded",
    "GeneMatch",
    "GeneOptions",
    "GenePlan",
    "Medians",
    "QCFolder",
    "QCResult",
    "RankEncoder",
    "RankVocabulary",
    "TranscriptomeTokenizer",
    "VerifyReport",
    "build_vocab",
    "corpus_facts",
    "encode",
    "load",
    "medians",
    "plan_genes",
    "read_aliases",
    "read_medians",
    "read_qc",
    "read_vocab",
    "resolve_vocabulary",
    "run_qc",
    "tokenize",
    "verify",
    "write_vocab",
]
