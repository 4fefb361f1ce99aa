"""Delivered text becomes values, or named faults; Individual Numbers are refused."""
