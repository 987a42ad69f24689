"""The yardstick for pages: Flask on waitress with one small template and no database.

``python -m tests.bench.bare_page PORT``; ends on SIGTERM.
"""

import sys

from flask import Flask, render_template_string
from waitress import serve

PAGE = """<!doctype html><html lang="en"><head><title>{{ title }}</title></head>
<body><h1>{{ title }}</h1><p>{{ text }}</p></body></html>"""


def bare_app() -> Flask:
    """Return an application with one page."""
    app = Flask(__name__)

    @app.get("/")
    def page() -> str:
        return render_template_string(PAGE, title="Bare page", text="Nothing but this.")

    return app


if __name__ == "__main__":
    serve(bare_app(), host="127.0.0.1", port=int(sys.argv[1]), threads=8)
