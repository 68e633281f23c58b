"""What a worker does: supervise, watch, serve; faces do not import it."""
