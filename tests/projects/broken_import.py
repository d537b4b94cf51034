"""Cannot be imported, three calls deep."""


def outer():
    return inner()


def inner():
    raise RuntimeError("no settings")


application = outer()
