"""Migration machinery: Alembic's commands, made safe."""
