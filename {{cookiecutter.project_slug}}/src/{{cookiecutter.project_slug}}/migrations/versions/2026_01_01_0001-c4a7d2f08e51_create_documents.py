{% include ("samples" if cookiecutter.sample_models else "no_samples") ~ "/migrations/versions/2026_01_01_0001-c4a7d2f08e51_create_documents.py" %}
