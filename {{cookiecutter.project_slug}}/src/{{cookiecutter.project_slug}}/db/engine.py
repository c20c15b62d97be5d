{% include cookiecutter.database ~ "/db/engine.py" %}
