"""The benchmark behind ``make bench``: the design's bars as ratios within one run."""
