"""`python -m search.cluster`: files for `ray up` on own hosts or Google Cloud, and their end."""

import sys

from search.cluster.hosts import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
