{% include cookiecutter.database ~ "/db/errors.py" %}
