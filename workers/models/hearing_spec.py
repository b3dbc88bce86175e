"""What the settings of published models that hear sounds have in common."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from workers.models.checkpoint import read_config
from workers.models.published_spec import PublishedSpec


class HearingSpec(PublishedSpec):
    """A model in the transformers format, with the feature extractor that was saved beside it."""

    subfolder: ClassVar[str] = ""
    stem: ClassVar[str] = "model"
    random_config: ClassVar[Mapping[str, Any]] = {}
    companions: ClassVar[tuple[str, ...]] = ("preprocessor_config.json", "processor_config.json")
    model_type: ClassVar[str]
    """That its `config.json` has."""
    default_rate_hz: ClassVar[int]
    """That its feature extractor has where its settings say nothing."""

    kind: str
    """Selects a model."""

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.weights == "random":
            raise ValueError("weights is random, which hears nothing: give a folder or hub id")
        return self

    @classmethod
    def check_class(cls, config: Mapping[str, Any], weights: str) -> None:
        """As `PublishedSpec` says."""
        found = config.get("model_type")
        if found != cls.model_type:
            raise ValueError(f"{weights} holds a model of type {found}, expected {cls.model_type}")

    @property
    def sample_rate(self) -> int:
        """At which it hears, Hz.

        Raises:
            ValueError: There is no feature extractor beside the model.
        """
        settings = self.feature_settings()
        return int(settings.get("sampling_rate", self.default_rate_hz))

    def feature_settings(self) -> Mapping[str, Any]:
        """The settings of its feature extractor, in a file of its own or in that of a processor.

        Raises:
            ValueError: There is neither.
        """
        try:
            return read_config(self.weights, revision=self.revision, name="preprocessor_config.json")
        except ValueError as missing:
            try:
                processor = read_config(self.weights, revision=self.revision, name="processor_config.json")
                settings = processor.get("feature_extractor")
            except ValueError:
                settings = None
            if not isinstance(settings, Mapping):
                raise ValueError(
                    f"no preprocessor_config.json beside the model {self.weights}: save its feature extractor there too"
                ) from missing
            return settings
