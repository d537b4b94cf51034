"""Settings of a project that is nothing but consumers."""

SECRET_KEY = "for tests"
INSTALLED_APPS = ["channels"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
