//! The notebooks in `examples/`, run over a lake of the sample registry as a user would make it.

use std::path::Path;
use std::process::Command;

use crate::arrays::pythons;
use crate::support::{run_binary, stderr, stdout};

/// Prints the names with the most downloads in the last four weeks, with spaces between them.
const MOST_DOWNLOADED: &str = "import sys, xarray\n\
    group = xarray.open_zarr(sys.argv[1] + '/downloads.zarr', create_default_indexes=False)\n\
    sums = group.downloads.isel(day=slice(-28, None)).sum('day').values\n\
    print(*(group.package.values[row] for row in sums.argsort()[:-4:-1]))";

#[test]
fn the_notebooks_run_over_a_lake_of_the_sample_registry_and_draw_their_pictures() {
    let Some(python) = pythons().pop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let sample = ["--origin", "sample", "--packages", "300"];
    for command in [&["ingest"][..], &["downloads", "--since", "2026-01-01"]] {
        let output = run_binary(folder.path(), &[command, &sample].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let output = run_binary(folder.path(), &["arrays"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let origin = folder.path().join("lake/sample");
    let output = Command::new(&python).arg("-c").arg(MOST_DOWNLOADED).arg(&origin).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let names = stdout(&output);
    assert_eq!(names.split_whitespace().count(), 3);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = std::env::var_os("ALL_DOCS_PICTURES").unwrap_or_else(|| folder.path().into());
    for notebook in ["downloads", "graph"] {
        let mut command = Command::new(&python);
        command.arg(root.join("tests/tools/run_notebook.py"));
        command.arg(root.join(format!("examples/{notebook}.ipynb"))).arg(&pictures);
        command.env("ALL_DOCS_ORIGIN_FOLDER", &origin).env("NAMES", names.trim());
        let output = command.env("IPYTHONDIR", folder.path()).output().unwrap();
        assert!(output.status.success(), "{notebook}: {}{}", stdout(&output), stderr(&output));
        assert_eq!(stdout(&output), "2 pictures\n", "{notebook}");
    }
}
