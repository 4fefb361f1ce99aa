"""What commands share: an opened book, the database, months, reasons, options in order."""
