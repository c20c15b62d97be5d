{% include cookiecutter.database ~ "/tests/support/databases.py" %}
