"""Generation that goes on in a thread of its own, and can be awaited or ended.

task = GenerationTask(model, clips)
task.progress            0.0 … 1.0
task.cancel()            takes effect before the next step
made = task.result()     or, in a coroutine: made = await task
"""

import asyncio
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError, Future

from workers.models.audiogen.audiogen import AudioGen, Clip, MadeClip


class GenerationTask:
    """Clips that are being made. One model makes one task's clips at a time; others wait for their turn.

    Args:
        model: What makes them.
        clips: What they are to be.

    Raises:
        ValueError: A prompt has too many tokens.
    """

    def __init__(self, model: AudioGen, clips: Sequence[Clip]) -> None:
        self._future: Future[list[MadeClip]] = Future()
        self._cancelled = threading.Event()
        self._num_steps = max(1, model.num_steps(clips))
        self._done_steps = 0
        self._thread = threading.Thread(target=self._run, args=(model, clips), daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it ended: with clips, an error, or because it was cancelled."""
        return self._future.done()

    @property
    def progress(self) -> float:
        """Share of the language model's steps that are done."""
        return 1.0 if self.done else min(1.0, self._done_steps / self._num_steps)

    def cancel(self) -> None:
        """End it before its next step. What ended already is not changed."""
        self._cancelled.set()

    def result(self, timeout_seconds: float | None = None) -> list[MadeClip]:
        """The clips, in order, waiting for them.

        Raises:
            CancelledError: It was cancelled.
            TimeoutError: It takes longer.
            ValueError: As `AudioGen.generate`.
        """
        return self._future.result(timeout_seconds)

    def __await__(self) -> Generator[None, None, list[MadeClip]]:
        """The clips, in order, without holding up the event loop; cancelling the coroutine cancels the task."""
        return self._wait().__await__()

    async def _wait(self) -> list[MadeClip]:
        try:
            return await asyncio.wrap_future(self._future)
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _run(self, model: AudioGen, clips: Sequence[Clip]) -> None:
        try:
            with model.turn:
                made = model.generate(clips, on_step=self._step)
        except BaseException as error:  # noqa: BLE001 (whoever waits for the result gets it)
            if not self._future.cancelled():
                self._future.set_exception(error)
        else:
            if not self._future.cancelled():
                self._future.set_result(made)

    def _step(self) -> None:
        if self._cancelled.is_set() or self._future.cancelled():
            raise CancelledError("generation was cancelled")
        self._done_steps += 1
