"""What people see: terminal, spreadsheets, result files, errors, texts in both languages."""
