"""Models carried to boards without a network: an export is made here, and taken in there."""
