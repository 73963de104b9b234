"""Page of a sweep: an experiment folder with job files, or a folder of runs."""
