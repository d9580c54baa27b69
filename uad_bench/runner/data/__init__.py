"""Which data a run stands on: found, checked, simulated and prepared."""
