"""The application: settings, database, models, migrations and what uses them."""
