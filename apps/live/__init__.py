"""Face: live events over websocket and SSE, read from the log by cursor."""
