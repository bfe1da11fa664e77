from voxray.scoring.metrics import ClipScore, score_clip
from voxray.scoring.rare_words import RecallScore, rare_words, recall_score


def scored(*pairs: tuple[str, str]) -> list[ClipScore]:
    return [score_clip(str(i), said, written, 1.0, "en") for i, (said, written) in enumerate(pairs)]


def test_rare_words_are_the_rarest_and_of_these_the_longest_as_they_stand() -> None:
    scores = scored(("Press the pound key, please.", ""), ("Asterisk: press the key!", ""), ("I don't", ""))

    assert rare_words(scores, 3) == ["Asterisk", "please", "pound"]
    assert rare_words(scores, 9) == ["Asterisk", "please", "pound", "Press"]
    assert rare_words(scores, 0) == []


def test_found_and_invented_words_are_counted_by_their_normalised_form() -> None:
    scores = scored(
        ("Call Asterisk, asterisk!", "call asterisk"),
        ("The pound key.", "the Asterisk key"),
        ("Nothing rare.", "nothing rare"),
    )

    assert recall_score(["Asterisk", "pound"], scores) == RecallScore(occurrences=3, found=1, invented=1)
    assert recall_score(["Asterisk", "pound"], scores).recall == 1 / 3
    assert recall_score([], scores).recall == 0.0
