"""Pseudo-labels: a teacher's words for a corpus, their filter and their packing."""
