"""Figures of merit: on phantom slices and patients that training never saw."""
