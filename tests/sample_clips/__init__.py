"""How the sample clips in `voxray/assets/clips` are made: their sentences, and the voice that speaks them."""
