{% include cookiecutter.database ~ "/tests/db/test_engine.py" %}
