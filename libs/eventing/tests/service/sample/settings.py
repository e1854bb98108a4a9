from chassis.settings import Settings


class SampleSettings(Settings):
    """The sample has no settings of its own."""
