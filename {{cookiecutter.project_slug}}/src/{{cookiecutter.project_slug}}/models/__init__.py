{% include ("samples" if cookiecutter.sample_models else "no_samples") ~ "/models/__init__.py" %}
