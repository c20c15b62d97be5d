{% include cookiecutter.database ~ "/search_dialect.py" %}
