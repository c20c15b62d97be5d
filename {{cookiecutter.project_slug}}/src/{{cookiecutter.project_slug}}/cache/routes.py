{% include ("samples" if cookiecutter.sample_models else "no_samples") ~ "/cache/routes.py" %}
