"""What a run will take: how much there is to do, what it took here before, a short probe."""
