"""What goes out: composing, the outbox, sending through the firm's relay, bounces."""
