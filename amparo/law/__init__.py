"""What the law allows, who orders it, and until when. Pure rules; the tables are TOML with sources and dates."""
