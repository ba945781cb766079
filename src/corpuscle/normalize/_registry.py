"""Names to normalisations: ours, and those that other installed packages bring."""

from __future__ import annotations

import inspect
from typing import Any

from corpuscle._plugins import Plugins
from corpuscle.errors import OptionError
from corpuscle.normalize._base import Normalizer

__all__ = ["ENTRY_POINT_GROUP", "normalizer", "normalizer_class", "normalizer_names"]

#: A package adds its own method with an entry point of this group: ``my_method = "my_package:MyMethod"``.
ENTRY_POINT_GROUP = "corpuscle.normalizers"

#: Registry id -> where the class is; imported only when it is asked for, since some need optional extras.
BUILT_IN = {
    "raw": "raw:Raw",
    "cpm": "cp10k:CPM",
    "cp10k": "cp10k:CP10k",
    "log1p_cp10k": "log1p_cp10k:Log1pCP10k",
    "log1p_cpm": "log1p_cp10k:Log1pCPM",
    "log1p_pf": "log1p_pf:Log1pPF",
    "pf_log1p_pf": "pf_log1p_pf:PFLog1pPF",
    "pflog_clr": "pf_log1p_pf:PFLogCLR",
    "sqrt": "sqrt:Sqrt",
    "freeman_tukey": "sqrt:FreemanTukey",
    "acosh": "acosh:Acosh",
    "shifted_log_alpha": "shifted_log_alpha:ShiftedLogAlpha",
    "pearson_analytic": "pearson_analytic:PearsonAnalytic",
    "deviance_poisson": "deviance:DeviancePoisson",
    "deviance_binomial": "deviance:DevianceBinomial",
    "tfidf": "tfidf:TFIDF",
    "rank": "rank:Rank",
    "quantile": "quantile:Quantile",
    "log2_qn": "log2_qn:QuantileNormalizer",
    "qsmooth": "qsmooth:QSmooth",
    "log_cpm": "log_cpm:LogCPM",
    "log_cpm_prior": "log_cpm:LogCPMPrior",
    "zscore_log_cpm": "log_cpm:ZScoreLogCPM",
    "tmm_cpm": "tmm:TMM",
    "mor": "mor:MedianOfRatios",
    "vst": "vst:VST",
    "tpm": "tpm:TPM",
    "log_tpm": "tpm:LogTPM",
    "scran": "scran:Scran",
    "sct_v2": "sct_v2:SCTv2",
    "knn_smooth": "knn_smooth:KnnSmooth",
    "magic": "magic:Magic",
    "alra": "alra:Alra",
    "scvi": "scvi:SCVI",
}


#: Built in, and by entry points.
PLUGINS = Plugins("method", ENTRY_POINT_GROUP, "corpuscle.normalize", BUILT_IN)


def normalizer_names() -> list[str]:
    """Ids of every method that can be asked for, ours first."""
    return PLUGINS.names()


def normalizer_class(name: str) -> Any:
    """Find what is registered under ``name``, without constructing it.

    Raises
    ------
    OptionError
        No such name, or the package that brings it cannot be imported.
    """
    return PLUGINS.find(name)


def normalizer(name: str, **params: Any) -> Normalizer:
    """Construct the method registered under ``name``.

    Raises
    ------
    OptionError
        No such name, or no such parameter.
    """
    made = normalizer_class(name)
    known = inspect.signature(made).parameters
    for param in params:
        if param not in known:
            raise OptionError(f"method {name} has no parameter {param!r}; it has: {', '.join(known) or 'none'}")
    return made(**params)
