"""KV-cache policies that run live: what each keeps, what it frees, and what that costs."""
