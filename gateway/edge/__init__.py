"""HTTP in: the server, and the dialect that Tencent Cloud Desk speaks."""
