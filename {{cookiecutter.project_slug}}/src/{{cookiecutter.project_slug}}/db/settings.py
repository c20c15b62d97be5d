{% include cookiecutter.database ~ "/db/settings.py" %}
