"""A tiny BERT of rank-value tokens with random weights, saved as Geneformer's are, and its vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["bert_folder", "change_config", "vocabulary_file"]


def bert_folder(folder: Path, n_tokens: int, seed: int = 0, **settings: Any) -> Path:
    """Weights with a language head and its names, as they are published."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    sizes = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
        "max_position_embeddings": 64, "vocab_size": n_tokens, "pad_token_id": 0, "hidden_act": "relu", "initializer_range": 0.2,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertForMaskedLM(BertConfig(**(sizes | settings))).eval().save_pretrained(folder)
    return folder


def vocabulary_file(path: Path, genes: list[str], *, framed: bool = False) -> Path:
    """Tokens and medians, the medians uneven so that ranks are not those of the counts."""
    specials = ["<pad>", "<mask>", *(["<cls>", "<eos>"] if framed else [])]
    rows = [f"{token}\t{name}\t" for token, name in enumerate(specials)]
    rows += [f"{token}\t{gene}\t{0.5 + token % 7}" for token, gene in enumerate(genes, start=len(specials))]
    path.write_text("token\tid\tnonzero_median\n" + "\n".join(rows) + "\n")
    return path


def change_config(folder: Path, **entries: Any) -> None:
    """Write other entries into the configuration."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
