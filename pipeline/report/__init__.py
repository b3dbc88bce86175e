"""What a store looks like to a person: its numbers, its units, its sounds and pictures, on one self-contained page."""
