"""The words of the card. Every ``$name`` must be filled, and everything that is filled must be asked for."""

from __future__ import annotations

__all__ = ["COLUMNS", "EVALUATION_ONLY", "FITTED_ON_TRAIN", "FORMS", "KINDS", "LAYOUT", "STORE", "WITH_TRAINING"]

LAYOUT = """\
---
$front_matter
---

# $name

$opening

$purpose

$notes
## Splits

$splits

$split_by

## Rows

$form

| column | meaning |
|---|---|
$columns

One row of it:

```json
$example
```

## How to load it

With `datasets` alone, from the folder that holds this card (where there is a `dataset.zip` beside it, unpack that first):

```python
from datasets import load_from_disk

rows = load_from_disk(".")
print(rows)
print(rows[$split_code][0])
```

The numbers are not in the rows but in archives that AnnData reads. A row names its archive (`adata_link`) and its cell in it
(`obs_name`). This one lies beside the rows:

```python
$read_code
```

$store_sample
## Cells

$sources

$steps
## Captions

$captions

## Negatives

$negatives

## Initial embeddings

$embeddings

## Archives

$archives

## Licence

$licence

## How it was made

$made
"""

WITH_TRAINING = """\
It is made for training and judging models that place cells and words in one space."""

FITTED_ON_TRAIN = """\
Every initial embedding was fitted on cells of the `train` split and on no others, so nothing of the other splits is in it."""

STORE = """\
With Corpuscle, which fetches every archive once, compares its SHA-256 with that of the rows, and joins cells by name:

```python
from corpuscle.corpus.pairs.vectors import build_store

store = build_store(rows[$split_code], $key_code, $out_code, cache="../archive-cache")
print(store[rows[$split_code][0]["sample_idx"]].shape)
```
"""

EVALUATION_ONLY = """\
**It is made for evaluation. Do not train on it**: it has no `train` split, and a model that has seen these cells cannot be judged
by them. Its initial embeddings were made with embedders as they were fitted elsewhere; the table below says on what."""

FORMS = {
    "single": "One row a cell: the cell and its gene sentence, without a text to align it with.",
    "pairs": (
        "Two kinds of rows: a cell with its own caption (`label` 1.0), and the same cell with the caption of another "
        "(`label` 0.0). This is the form that contrastive losses on labelled pairs take."
    ),
    "multiplets": (
        "One row a cell: the cell, its own caption (`positive`), and cells or texts that it must be told from (`negative_…`). "
        "This is the form that ranking losses with hard negatives take."
    ),
}

KINDS = {
    "caption": "stands for the caption of a cell whose caption differs",
    "sentence": "stands for the gene sentence of a cell whose caption differs",
    "omics": "stands for the expression of a cell whose caption differs",
}

COLUMNS = {
    "sample_idx": "name of the cell, unique in the whole data set",
    "obs_name": "name of the cell in its archive",
    "caption": "text about a cell: its own where `label` is 1.0, another's where it is 0.0",
    "label": "1.0 where the caption is the cell's own, 0.0 where it is not",
    "positive": "the cell's own caption",
    "adata_link": "where the archive with the cell is",
    "adata_sha256": "SHA-256 of that archive",
    "adata_format": "its format: `zarr.zip`, `zarr` or `h5ad`",
    "batch": "batch that the cell was measured in; empty where not known",
    "group": "donor, study or other group that the cell belongs to; empty where not known",
    "caption_source": "column or template that the caption was made with",
}
