"""The page on which operators log in. It needs no script, and is there whether or not the dashboard is built."""

from __future__ import annotations

import html
from typing import Final

STYLE_PATH: Final = "/login/style.css"
MARK_PATH: Final = "/login/mark.svg"
AGAIN_PATH: Final = "/login/again"
AGAIN_SCRIPT_PATH: Final = "/login/again.js"

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Vedette · Log in</title>
<link rel="icon" href="{mark}" type="image/svg+xml">
<link rel="stylesheet" href="{style}">
</head>
<body>
<main>
<h1><img src="{mark}" alt="" width="30" height="30"> Vedette</h1>
{told}<form method="post">
<label for="name">Name</label>
<input id="name" name="name" value="{name}" autocomplete="username" autocapitalize="none" spellcheck="false" \
maxlength="63" required{name_focus}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="256" \
required{password_focus}>
<button>Log in</button>
</form>
<p class="foot">Not added yet, or the password is lost? Whoever runs the service helps with \
<code>vedette operator</code>.</p>
</main>
</body>
</html>
"""

# Following a link from elsewhere, a browser keeps a `SameSite=Strict` cookie back, and sends it with what this page
# opens, which is ours. The same address with its part after # would be a place on this page: hence a redirect.
AGAIN: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Vedette</title>
<script src="{AGAIN_SCRIPT_PATH}"></script>
<noscript><meta http-equiv="refresh" content="0;url={AGAIN_PATH}"></noscript>
</head>
</html>
"""
AGAIN_SCRIPT: Final = f'location.replace("{AGAIN_PATH}" + location.hash);\n'

MARK: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="8" fill="#1f5c4d"/>
<path d="M7 9.5 16 25l9-15.5" fill="none" stroke="#fff" stroke-width="3.2" stroke-linecap="round" \
stroke-linejoin="round"/>
<circle cx="16" cy="10" r="3" fill="#f2b544"/>
</svg>
"""

# The dashboard's colours and shapes (`dashboard/src/app.css`).
STYLE: Final = """:root {
  color-scheme: light dark;
  --bg: #f3f1ea; --surface: #fffefa; --sunken: #ebe8de; --ink: #1b2320; --muted: #59635d; --line: #dcd8cb;
  --line-strong: #8d938c; --brand: #1f5c4d; --on-brand: #fff; --focus: #1461c9; --warn: #8c2f14;
  --warn-soft: #fbe3d9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #0f1412; --surface: #19201d; --sunken: #222a26; --ink: #e8ede9; --muted: #a0aca4; --line: #2c3631;
    --line-strong: #6c7971; --brand: #7ed3b5; --on-brand: #0f1412; --focus: #7db8ff; --warn: #ffb199;
    --warn-soft: #47231a;
  }
}
*, *::before, *::after { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--bg);
  color: var(--ink); font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main {
  width: 100%; max-width: 23rem; padding: 1.6rem 1.5rem; background: var(--surface);
  border: 1px solid var(--line); border-radius: 14px;
}
h1 { display: flex; align-items: center; gap: .7rem; margin: 0 0 1.1rem; font-size: 1.15rem; }
form { display: grid; gap: .3rem; margin: 0; }
label { font-weight: 600; }
input {
  font: inherit; color: inherit; width: 100%; min-height: 40px; padding: .4rem .7rem; margin-bottom: .7rem;
  background: var(--bg); border: 1px solid var(--line-strong); border-radius: 8px;
}
button {
  font: inherit; font-weight: 600; min-height: 42px; margin-top: .3rem; border: 0; border-radius: 999px;
  background: var(--brand); color: var(--on-brand); cursor: pointer;
}
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.told {
  margin: 0 0 1rem; padding: .6rem .8rem; border-radius: 8px; background: var(--warn-soft); color: var(--warn);
}
.foot { margin: 1.2rem 0 0; color: var(--muted); font-size: .9rem; }
code {
  font-family: ui-monospace, "Cascadia Mono", Menlo, monospace; font-size: .9em; padding: .1em .4em;
  background: var(--sunken); border-radius: 5px; white-space: nowrap;
}
"""


def login_page(told: str = "", name: str = "") -> str:
    """The page.

    Args:
        told: What went wrong, for a person; empty for nothing.
        name: What stands in the field for the name.
    """
    return _PAGE.format(
        mark=MARK_PATH,
        style=STYLE_PATH,
        told=f'<p class="told" role="alert">{html.escape(told)}</p>\n' if told else "",
        name=html.escape(name),
        name_focus="" if name else " autofocus",
        password_focus=" autofocus" if name else "",
    )
