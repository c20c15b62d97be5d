{% include cookiecutter.database ~ "/failures.py" %}
