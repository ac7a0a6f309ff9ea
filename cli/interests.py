"""`ltsi interests`."""

from ._hydra import composed

interests = composed(
    "interests",
    """Show what each interest is now: rising, falling, steady, dormant or revived, and which users are about to leave.

    * `ltsi interests data=shop`
    * `ltsi interests data=shop user=u0042`
    * `ltsi interests data=shop entity=brand bin=day now=2023-12-01`
    """,
    subject="data",
)
