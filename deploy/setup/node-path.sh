# To be sourced from the checkout's root: puts .venv's node before the machine's where that one is missing or too old.
new_enough() {
  command -v npm >/dev/null &&
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}
if ! new_enough; then PATH=$PWD/.venv/bin:$PATH; fi
