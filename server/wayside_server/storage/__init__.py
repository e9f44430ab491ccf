"""The only place that speaks to PostgreSQL. Statements stand in `sql/`, the schema in `migrations/`."""
