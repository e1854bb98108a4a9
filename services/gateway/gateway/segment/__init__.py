"""Event collection as clients of Segment's HTTP tracking API do it, unchanged: `/v1/track`, `/v1/batch` and so on."""
