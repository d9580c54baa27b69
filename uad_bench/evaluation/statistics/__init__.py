"""What numbers of people allow to be said: intervals, tests, ranks, patients against healthy."""
