{% include cookiecutter.database ~ "/migrations/versions/2026_01_01_0000-6b1f0c9e2d34_create_sample_tables.py" %}
