{% include cookiecutter.database ~ "/db/types.py" %}
