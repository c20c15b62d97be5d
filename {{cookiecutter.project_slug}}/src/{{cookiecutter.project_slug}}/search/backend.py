{% include cookiecutter.database ~ "/search/backend.py" %}
