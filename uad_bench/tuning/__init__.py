"""Tuning of a method's parameters on healthy validation data, with Optuna. No label takes part.

A study is a journal file, or a database that a team shares. A run that was killed goes on after the
last finished trial and draws the same parameters that it would have drawn, because the sampler is
seeded by a trial's place.
"""
