"""AudioGen and MusicGen: texts → codes → sound."""
