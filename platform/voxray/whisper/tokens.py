"""Whisper's vocabulary, with every special token looked up by its name, never by its number.

Numbers differ between releases of Whisper and in models with a vocabulary of their own; names do not.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import Tokenizer

from voxray.audio import TIMESTAMP_STEP_S, WINDOW_S
from voxray.errors import ModelError

MAX_LABEL_TOKENS = 448  # Whisper's decoder positions
MAX_PREVIOUS_TOKENS = (
    223  # of context: half of the positions, less <|startofprev|> (openai/whisper, decoding.py)
)
TASKS = ("transcribe", "translate")
GPT2_END = 50_256  # `<|endoftext|>` in GPT-2's vocabulary, which Whisper's English-only models use


@dataclass(frozen=True)
class Tokens:
    """A fast tokenizer and the ids of Whisper's special tokens in it."""

    tokenizer: Tokenizer = field(repr=False)
    end: int
    start: int
    previous: int
    no_speech: int
    no_timestamps: int
    first_timestamp: int
    tasks: dict[str, int]
    languages: dict[str, int]

    @classmethod
    def load(cls, folder: Path) -> "Tokens":
        """Load `folder/tokenizer.json`; ModelError if it is missing or is not Whisper's."""
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise ModelError(f"{folder}: expected a fast tokenizer (tokenizer.json), got none.")
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as e:  # the library raises nothing narrower
            raise ModelError(
                f"{file}: expected a fast tokenizer, got a file that cannot be read ({e})."
            ) from e
        return cls.of(tokenizer, str(folder), english_only=_says_english_only(folder))

    @classmethod
    def of(cls, tokenizer: Tokenizer, where: str = "tokenizer", english_only: bool | None = None) -> "Tokens":
        """Take the tokens of a tokenizer in memory.

        `english_only`: whether prompts have no language and task; None decides by the vocabulary, though not
        by its language tokens, which Whisper's English-only vocabularies hold as well.
        """

        def named(*names: str) -> int:
            ids = [i for i in map(tokenizer.token_to_id, names) if i is not None]
            if not ids:
                raise ModelError(
                    f"{where}: expected Whisper's token {names[0]}, got a vocabulary without it."
                )
            return int(ids[0])

        tasks = {t: i for t in TASKS if (i := tokenizer.token_to_id(f"<|{t}|>")) is not None}
        end = named("<|endoftext|>")
        if english_only is None:
            english_only = end == GPT2_END
        return cls(
            tokenizer=tokenizer,
            end=end,
            start=named("<|startoftranscript|>"),
            previous=named("<|startofprev|>"),
            no_speech=named("<|nospeech|>", "<|nocaptions|>"),
            no_timestamps=named("<|notimestamps|>"),
            first_timestamp=tokenizer.token_to_id("<|0.00|>") or named("<|notimestamps|>") + 1,
            tasks=tasks,
            languages={} if english_only else _languages(tokenizer),
        )

    @property
    def multilingual(self) -> bool:
        """Whether prompts name language and task; those of English-only models do not."""
        return bool(self.languages) and bool(self.tasks)

    @property
    def start_first(self) -> bool:
        """Whether text comes after <|startoftranscript|> in the order of ids; see `whisper.prompt_order`."""
        return self.start == 0

    def encode(self, text: str) -> list[int]:
        """Return the token ids of plain text, with no special token added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, special tokens and timestamps left out."""
        return str(self.tokenizer.decode([i for i in ids if i < self.end], skip_special_tokens=True))

    def timestamp(self, seconds: float) -> int:
        """Return the id of `<|seconds|>`, rounded to Whisper's 0.02 s and held inside its 30 s."""
        steps = round(min(max(seconds, 0.0), WINDOW_S) / TIMESTAMP_STEP_S)
        return self.first_timestamp + steps

    def is_timestamp(self, token: int) -> bool:
        """Say whether `token` is one of `<|0.00|>` .. `<|30.00|>`."""
        return token >= self.first_timestamp

    def seconds(self, token: int) -> float:
        """Return the time that a timestamp token stands for."""
        return round((token - self.first_timestamp) * TIMESTAMP_STEP_S, 2)

    def prompt(
        self, language: str | None = "en", task: str = "transcribe", timestamps: bool = False
    ) -> list[int]:
        """Return `<|startoftranscript|> [<|language|> <|task|>] [<|notimestamps|>]`."""
        ids = [self.start]
        if self.multilingual:
            ids += [self.language(language or "en"), self.tasks[task]]
        return ids if timestamps else [*ids, self.no_timestamps]

    def language(self, code: str) -> int:
        """Return the id of a language's token; ModelError naming it where the model does not know it."""
        if code not in self.languages:
            raise ModelError(f"language {code!r}: expected one that the model knows, such as 'en' or 'de'.")
        return self.languages[code]


def _says_english_only(folder: Path) -> bool | None:
    file = folder / "generation_config.json"
    if not file.is_file():
        return None
    multilingual = json.loads(file.read_text()).get("is_multilingual")
    return None if multilingual is None else not multilingual


def _languages(tokenizer: Tokenizer) -> dict[str, int]:
    """Whisper lists its languages between `<|startoftranscript|>` and `<|translate|>`."""
    first, last = tokenizer.token_to_id("<|startoftranscript|>"), tokenizer.token_to_id("<|translate|>")
    if first is None or last is None:
        return {}
    names = (tokenizer.id_to_token(i) for i in range(first + 1, last))
    return {n[2:-2]: i for i, n in enumerate(names, start=first + 1) if n and n.startswith("<|")}
