"""Everything of ``redis_lost = "direct"``: a gateway that asks the backends itself while Redis is lost."""
