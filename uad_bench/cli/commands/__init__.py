"""One command per file: reads its flags, calls the engine, prints."""
