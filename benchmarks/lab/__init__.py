"""What the download benchmarks share: a Hub on nginx, the clients, a bad link, measuring."""
