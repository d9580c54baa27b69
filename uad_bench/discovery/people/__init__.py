"""Who the subjects are: `participants.tsv`, health and splits."""
