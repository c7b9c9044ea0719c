"""The dashboard: files for a browser, which polls the same API as everybody else."""
