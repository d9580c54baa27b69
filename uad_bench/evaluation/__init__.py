"""From anomaly maps to numbers: histograms, surfaces, statistics, protocols."""
