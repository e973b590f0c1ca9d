"""Arrays in, arrays out: the passes over the rows that everything else is built on."""
