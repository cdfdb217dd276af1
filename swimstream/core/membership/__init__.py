"""Who is alive: SWIM with Lifeguard. Evidence, never authority."""
