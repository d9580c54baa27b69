"""What a run or a sweep will do, checked before any work."""
