"""Messages to people: templates, journeys, sends under consent's decisions, caps and quiet hours, tracking."""
