"""Runs a notebook in its folder's environment and checks its pictures. Arguments: the notebook, and a folder for the
pictures. Prints the number of pictures. An error in a cell ends it with that error."""

import base64
import pathlib
import sys

import nbclient
import nbformat

source, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
notebook = nbformat.read(source, as_version=4)
nbformat.validate(notebook)
assert not any(cell.get("outputs") for cell in notebook.cells), "the notebook is stored with outputs"
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
pictures = [
    output.data["image/png"]
    for cell in notebook.cells
    for output in cell.get("outputs", [])
    if output.output_type == "display_data" and "image/png" in output.data
]
for number, picture in enumerate(pictures, 1):
    bytes_of_picture = base64.b64decode(picture)
    assert bytes_of_picture.startswith(b"\x89PNG") and len(bytes_of_picture) > 5_000, f"picture {number} is empty"
    (folder / f"{source.stem}-{number}.png").write_bytes(bytes_of_picture)
errors = [output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]
assert not errors, f"the notebook warns: {errors}"
print(f"{len(pictures)} pictures")
