"""The search tool: a computer is searched lawfully, and what it holds is sealed as evidence. No Django, no network."""
