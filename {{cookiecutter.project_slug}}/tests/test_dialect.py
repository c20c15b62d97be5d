{% include cookiecutter.database ~ "/test_dialect.py" %}
