"""Files for `ray up` on own hosts or Google Cloud, and the end of a cluster of own hosts."""
