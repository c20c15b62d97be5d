{% include cookiecutter.database ~ "/test_search_dialect.py" %}
