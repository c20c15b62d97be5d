{% include cookiecutter.database ~ "/create_documents.py" %}
