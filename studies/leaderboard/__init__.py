"""The leaderboard: every method on every dataset under one protocol, and one lesion through all."""
