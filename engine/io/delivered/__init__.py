"""Files in: found, recognised, cut into parts and read, canonical or by a layout."""
