{% include ("samples" if cookiecutter.sample_models else "no_samples") ~ "/create_documents.py" %}
