"""What watches the numbers of a run: steps that are not finite, and losses that rise."""
