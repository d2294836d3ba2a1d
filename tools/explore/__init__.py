"""Does the real engine keep the law, in every order of reading? For a change of the machine."""
