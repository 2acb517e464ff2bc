"""Records in Redis: one module per kind of record, secrets sealed, key names from `gateway.redis.keys`."""
