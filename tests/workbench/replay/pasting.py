"""What a person does with the tables that are advised."""

import re


def pasted(text, tables):
    """Put each line under the table of its name, in place of the same key; add a table that is not there yet."""
    for table in tables:
        heading, *lines = table.splitlines()
        before, found, after = text.partition(f"{heading}\n")
        if not found:
            text += f"\n{table}\n"
            continue
        own, *rest = re.split(r"^(?=\[)", after, maxsplit=1, flags=re.MULTILINE)
        keys = {line.partition(" = ")[0] for line in lines}
        kept = [line for line in own.splitlines() if line.partition(" = ")[0] not in keys]
        text = "\n".join([before + heading, *lines, *kept, *rest])
    return text
