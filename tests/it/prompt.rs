//! The prompt of SQL on a pseudo-terminal, as a person sees it.

use all_docs::sample::World;

use crate::support::{Env, python, run_python};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_types_statements_stops_one_and_finds_them_again() {
    if cfg!(not(unix)) {
        eprintln!("skipped: pseudo-terminals are of Unix");
        return;
    }
    let Some(python) = python() else { return };
    let env = Env::new(World::seeded(3, 20));
    env.ingest(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let (lake, binary) = (env.lake(), env!("CARGO_BIN_EXE_all-docs"));
    let arguments = [binary, lake.to_str().unwrap(), folder.path().to_str().unwrap()];
    let told = run_python(&python, "type_at_prompt.py", &arguments);
    assert_eq!(told, "everything was seen\n");
}
