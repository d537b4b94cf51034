"""Front doors: the command, twistd, embedding."""
