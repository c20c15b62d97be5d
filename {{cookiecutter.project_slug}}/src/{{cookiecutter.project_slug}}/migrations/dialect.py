{% include cookiecutter.database ~ "/migrations_dialect.py" %}
