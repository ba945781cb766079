"""The head that takes an embedding to the shared space."""

from __future__ import annotations

from typing import Any

from sentence_transformers.base.modules import Module
from torch import Tensor, nn

from corpuscle.errors import OptionError

__all__ = ["KINDS", "Head"]

KINDS = ("linear", "mlp")


class Head(Module):
    """LayerNorm(W x + b), or LayerNorm(W2 ReLU(W1 x + b1) + b2).

    Parameters
    ----------
    in_width, out_width
        Widths of the embedding and of the shared space.
    kind
        ``"linear"`` or ``"mlp"``.
    hidden
        Width between the two layers of ``"mlp"``.

    Raises
    ------
    OptionError
        A width is not positive, or there is no such kind.
    """

    config_keys = ["in_width", "out_width", "kind", "hidden"]  # noqa: RUF012  # the library's own way
    config_file_name = "head_config.json"

    def __init__(self, in_width: int, out_width: int, kind: str = "linear", hidden: int = 512) -> None:
        super().__init__()
        if kind not in KINDS:
            raise OptionError(f"head {kind!r} does not exist; choose one of {', '.join(KINDS)}")
        for name, value in (("in_width", in_width), ("out_width", out_width), ("hidden", hidden)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"head: {name} is {value!r}; give a positive whole number")
        self.in_width, self.out_width, self.kind, self.hidden = in_width, out_width, kind, hidden
        layers: list[nn.Module] = [nn.Linear(in_width, out_width)]
        if kind == "mlp":
            layers = [nn.Linear(in_width, hidden), nn.ReLU(), nn.Linear(hidden, out_width)]
        self.layers = nn.Sequential(*layers, nn.LayerNorm(out_width))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Replace ``sentence_embedding``, shape (b, in_width), by its image, shape (b, out_width)."""
        x_bd: Tensor = features["sentence_embedding"]
        features["sentence_embedding"] = self.layers(x_bd)
        return features

    def get_embedding_dimension(self) -> int:
        """Width of the shared space."""
        return self.out_width

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write configuration and weights (safetensors) to a folder."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=True)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> Head:
        """Read a head from a folder."""
        where = {"subfolder": subfolder, "local_files_only": True}
        head = cls(**cls.load_config(model_name_or_path, **where))
        cls.load_torch_weights(model_name_or_path, model=head, **where)
        return head
