"""Reports of runs and sweeps, written from run folders."""
