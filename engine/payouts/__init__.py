"""Payouts: from what the ledger awards to what is granted, without files, clock or chance.

`accounts` who has an account now, `schedule` when an entry is due, `owed` what each account is
owed, `lines` what is instructed, `answers` what the points systems said, `bridge` the sums.
"""
