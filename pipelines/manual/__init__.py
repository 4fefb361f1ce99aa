"""``mynapoint completion`` and ``mynapoint manual``: what the command line says of itself."""
