"""Settings of models that were published: where their weights are, and which revision of them."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from workers.models.checkpoint import Checkpoint, find_checkpoint, find_folder, hub_commit, read_config
from workers.spec import PathText, Spec


class PublishedSpec(Spec):
    """A model in a folder, at a URI or on the hub, perhaps as a part of a pipeline."""

    subfolder: ClassVar[str]
    """The part's folder in that of a pipeline."""

    stem: ClassVar[str]
    """Name of the file of weights, without extension."""

    random_config: ClassVar[Mapping[str, Any]]
    """Config of a model with random weights."""

    companions: ClassVar[tuple[str, ...]] = ()
    """Names of other files that decide what the model does."""

    weights: PathText
    """A folder (here or at a URI) or hub id; or `random`, weights from `seed`."""

    revision: str | None = None
    """Commit, tag or branch on the hub; the newest commit where null. A run keeps to the commit that it began with."""

    allow_pickle: bool = False
    """Load `.bin` weights where there are no safetensors. Unpickling can run code that the author chose."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Seed of the weights where they are random."""

    def resolved(self) -> tuple[Self, tuple[str, ...]]:
        """This model as every process of a run will find it: a folder as an absolute path, or a hub id at one commit.

        Returns:
            The spec, and a sentence for what was decided.

        Raises:
            ValueError: There is no such folder, and the hub cannot give it either.
        """
        if self.weights == "random":
            return self, ()
        if folder := find_folder(self.weights):
            return self.model_copy(update={"weights": folder}), ()
        commit = hub_commit(self.weights, subfolder=self.subfolder, revision=self.revision)
        if commit == self.revision:
            return self, ()
        meaning = f"revision {self.revision}" if self.revision else "the newest revision"
        return self.model_copy(update={"revision": commit}), (
            f"weights are {self.weights} at commit {commit}, which {meaning} stands for",
        )

    def checkpoint(self) -> Checkpoint | None:
        """The files to load; None where the weights are random.

        Raises:
            ValueError: They are not there, not safetensors, or of another model class.
        """
        if self.weights == "random":
            return None
        checkpoint = find_checkpoint(
            self.weights,
            stem=self.stem,
            subfolder=self.subfolder,
            revision=self.revision,
            allow_pickle=self.allow_pickle,
            companions=self.companions,
        )
        self.check_class(checkpoint.config, self.weights)
        return checkpoint

    def config(self) -> Mapping[str, Any]:
        """The model's `config.json`.

        Raises:
            ValueError: It is missing, or of another model class.
        """
        if self.weights == "random":
            return self.random_config
        config = read_config(self.weights, subfolder=self.subfolder, revision=self.revision)
        self.check_class(config, self.weights)
        return config

    @classmethod
    @abstractmethod
    def check_class(cls, config: Mapping[str, Any], weights: str) -> None:
        """Refuses a model of another class.

        Raises:
            ValueError: It is one; the message says which.
        """
