"""interLink's REST contract on aiohttp: decode, call the service, encode. No decisions."""
