{% include cookiecutter.database ~ "/dialect.py" %}
