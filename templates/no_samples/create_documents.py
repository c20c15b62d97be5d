{% filter replace(": 6b1f0c9e2d34", ":") | replace('"6b1f0c9e2d34"', "None") %}{% include cookiecutter.database ~ "/create_documents.py" %}{% endfilter %}
