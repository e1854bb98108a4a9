"""Model cards (Mitchell et al. 2019, FAT*): what a model is, what it passed and how it does, for people."""
