"""What every test may use; each plug-in says what it gives."""

pytest_plugins = [
    "tests.support.skips",
    "tests.support.databases",
    "tests.support.browser",
]
