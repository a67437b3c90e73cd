"""The mathematics of diffusion: noise schedules, preconditioning, samplers.  No networks, no files."""
