"""Where does everything stand? States, arrows and labels, from measures of the font."""
