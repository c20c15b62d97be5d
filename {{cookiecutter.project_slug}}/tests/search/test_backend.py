{% include cookiecutter.database ~ "/tests/search/test_backend.py" %}
