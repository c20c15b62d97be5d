{% include ("samples" if cookiecutter.sample_models else "no_samples") ~ "/examples/quickstart.py" %}
