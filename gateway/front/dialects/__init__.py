"""The platforms' own words: verified, decoded and encoded here, and known nowhere else."""
