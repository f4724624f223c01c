"""Memory and time of runs on machines that are not at hand: counts of the real model, and published hardware."""
