"""Tables as text: terminal, LaTeX, Markdown, CSV and HTML."""
