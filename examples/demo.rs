//! The demo of the README: crawls the built-in sample registry into a lake in a temporary folder, and queries which
//! packages others depend on. Each step is a command line, which is printed before it runs.
//!
//! cargo run --example demo
#![allow(clippy::print_stdout)]

use std::ffi::OsString;
use std::process::ExitCode;

const PIVOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/pivots.json");

#[cfg(feature = "query")]
const QUERY: &str = "
  select d.dependency as package, count(*) as dependents, p.license, p.latest, p.created_at::date as since
  from dependencies d left join packages p on p.name = d.dependency
  where d.is_latest and d.kind = 'prod'
  group by d.dependency, p.license, p.latest, p.created_at order by dependents desc, package limit 12";

fn main() -> ExitCode {
    let lake = std::env::temp_dir().join("all-docs-demo");
    // A second demo starts again. An error is ignored, because the folder may not exist.
    let _ = std::fs::remove_dir_all(&lake);
    let lake = lake.to_string_lossy().into_owned();
    let ingest = ["ingest", "--pivots", PIVOTS, "--origin", "sample", "--partition-rows", "400"];
    let steps: &[&[&str]] = &[
        &ingest,
        &["status"],
        #[cfg(feature = "query")]
        &["query", QUERY],
    ];
    for step in steps {
        let shown: Vec<_> = step
            .iter()
            .map(|word| if word.contains(' ') { format!("\"{word}\"") } else { (*word).to_owned() })
            .collect();
        println!("\n$ all-docs {} --lake {lake}", shown.join(" "));
        let words = [&["all-docs"], *step, &["--lake", lake.as_str()]].concat();
        let code = all_docs::cli::main_with(words.into_iter().map(OsString::from));
        if code != ExitCode::SUCCESS {
            return code;
        }
    }
    println!("\nThe lake stays in {lake}: `duckdb -c \"from '{lake}/sample/packages/*.parquet'\"` reads it too.");
    ExitCode::SUCCESS
}
