"""What talks to PostgreSQL: our one guarded connection, and the reads over it."""
