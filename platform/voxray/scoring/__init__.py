"""Scores of a model over a corpus, and the report that shows them."""
