"""From the agents' functions to one candidate patch."""
