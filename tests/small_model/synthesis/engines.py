"""The engines by name, each opened when first needed."""

from collections.abc import Callable
from types import TracebackType

from tests.small_model.synthesis.espeak import Espeak
from tests.small_model.synthesis.festival import Festival
from tests.small_model.synthesis.flite import Flite
from tests.small_model.synthesis.speech import Engine, Manner, Spoken
from tests.small_model.synthesis.voices import EngineName, Voice

_OPENERS: dict[EngineName, Callable[[], Engine]] = {
    "espeak-ng": Espeak,
    "flite": Flite,
    "festival": Festival,
}


class Engines:
    """Speaks in any voice; a context manager that ends on leaving what it started."""

    def __init__(self) -> None:
        self._open: dict[EngineName, Engine] = {}

    def speak(self, text: str, voice: Voice, manner: Manner) -> Spoken:
        """`text` in `voice`. Raises MissingDependency, naming the package, where its engine is missing."""
        if voice.engine not in self._open:
            self._open[voice.engine] = _OPENERS[voice.engine]()
        return self._open[voice.engine].speak(text, voice, manner)

    def __enter__(self) -> "Engines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for engine in self._open.values():
            engine.close()
        self._open.clear()
