"""`cfens-stack`: the ensemble from a shell, for predictions made elsewhere."""
