"""A run of which too many rows cannot be read is refused, so that no night is booked by half."""

from engine.errors import InputError
from engine.io.book.tally import Tally
from engine.io.run.order import Deliveries


def check_quarantined(tally: Tally, deliveries: Deliveries, max_quarantined: float) -> None:
    """Refuses a run of which too many rows cannot be read.

    Raises:
        InputError: naming the share.
    """
    read = tally.read + tally.enrollments_read + tally.events.read
    # Rows that a layout leaves out on purpose do not thin out those that cannot be read.
    read -= sum(files.skipped_rows for files in deliveries)
    bad = tally.quarantined + tally.enrollments_quarantined + tally.events.quarantined
    # The quotient of two whole numbers is rounded as the share on the command line is.
    if read and bad / read > max_quarantined:
        raise InputError(
            f"{bad} of {read} rows cannot be read, more than the share of "
            f"{max_quarantined} that may go to quarantine; nothing was booked",
            hint="have the delivery corrected, or raise --max-quarantined to set them aside",
        )
