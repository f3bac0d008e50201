"""The soak: very many jobs through workers that are killed at random, each of them accounted for."""
