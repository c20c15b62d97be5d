{% include cookiecutter.database ~ "/scratch.py" %}
