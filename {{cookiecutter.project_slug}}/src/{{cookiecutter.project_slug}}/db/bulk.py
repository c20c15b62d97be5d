{% include cookiecutter.database ~ "/db/bulk.py" %}
