{% include cookiecutter.database ~ "/first_migration.py" %}
