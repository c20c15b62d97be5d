{% include cookiecutter.database ~ "/db/migration/safety.py" %}
