"""What people type: each command's options and help, and nothing that takes time to import."""
