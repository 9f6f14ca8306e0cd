"""What runs inside a Python sandbox. Small enough to be read in one sitting. Effects: none."""
