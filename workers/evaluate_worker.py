"""Pairs of waveforms to metrics."""

from collections.abc import Mapping
from math import nan

import torch
from torch import Tensor

from workers.evaluate_worker_spec import EvaluateWorkerSpec
from workers.metrics.metric_names import PAIR_STATUSES, STATUSES, PairMetric
from workers.metrics.metric_set import Scorer
from workers.metrics.one_thread import one_thread
from workers.metrics.outcome import Score
from workers.side_listener import SideListener
from workers.waveform_batch import check_waveform_batch

_PLACES = {status: place for place, status in enumerate(STATUSES)}


class EvaluateWorker:
    """Scores pairs, each by itself: a pair's values depend on nothing but the pair.

    Args:
        spec: What to compute.

    Raises:
        ImportError: A metric's package is missing.
    """

    def __init__(self, spec: EvaluateWorkerSpec) -> None:
        self.spec = spec
        self._scorer = Scorer(spec.pair_metrics, hop_length=0)  # pairs come cut to one length
        self._listener = SideListener(spec)

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score any number of pairs.

        Args:
            batch: As `check_waveform_batch` describes it, C = 2: reference and candidate. And `pair_status` int8 [n],
                places in PAIR_STATUSES: what is not `ok` there is not scored as a pair. Where clips are heard by
                themselves `side_samples` too, as `SideListener` takes it.

        Returns:
            The columns of `spec.outputs`: values float64 [n], NaN where undefined, and statuses int8 [n].

        Raises:
            ValueError: The batch is malformed, or a metric has no meaning at this rate.
            GuardError: PESQ's child process cannot be started.
        """
        rows = check_waveform_batch(batch)
        columns = self._listener(batch)
        for name in self.spec.pair_metrics:
            columns[name] = torch.full((rows,), nan, dtype=torch.float64)
            columns[f"{name}_status"] = batch["pair_status"].clone()
        with one_thread():  # a clip is too little work for several, which wait for each other where cores are busy
            for row, status in enumerate(batch["pair_status"].tolist()):
                if PAIR_STATUSES[status] == "ok":
                    for name, score in self._score(batch["waveform"][row], int(batch["num_samples"][row])).items():
                        columns[name][row] = nan if score.value is None else score.value
                        columns[f"{name}_status"][row] = _PLACES[score.status]
        return columns

    def _score(self, waveforms: Tensor, num_samples: int) -> dict[PairMetric, Score]:
        reference, candidate = waveforms[:, :num_samples].numpy()
        rates = {"reference_rate_hz": self.spec.sample_rate, "degraded_rate_hz": self.spec.sample_rate}
        return self._scorer(reference, candidate, **rates)
