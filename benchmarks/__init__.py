"""Programs that measure what the library does on real data that ships with its dependencies."""
