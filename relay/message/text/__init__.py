"""From octets to characters: charsets, their labels and guesses, encoded-words."""
