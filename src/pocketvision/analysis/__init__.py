"""What a network does and why: cost formulas, and where its operations go."""
