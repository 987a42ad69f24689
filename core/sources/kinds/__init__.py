"""The kinds of customer sources, each an implementation of ``core.sources.source``."""
