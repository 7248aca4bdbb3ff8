//! The command line as a person uses it: its output, its streams and its exit codes. Bad input gets a clear error and
//! leaves the lake unharmed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use all_docs::sample::World;

use crate::support::{Env, all_docs, lake_bytes, run_binary, stderr, stdout};

const PIVOTS: &str = "[\"g\", \"p\"]";

fn folder_with_pivots() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pivots.json"), PIVOTS).unwrap();
    folder
}

/// Ingests the built-in sample into `lake` below the folder.
fn sample_lake() -> tempfile::TempDir {
    let folder = folder_with_pivots();
    let output =
        run_binary(folder.path(), &["ingest", "--pivots", "pivots.json", "--origin", "sample", "--packages", "150"]);
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    folder
}

#[test]
fn the_sample_is_ingested_and_reported() {
    let folder = sample_lake();
    let again =
        run_binary(folder.path(), &["ingest", "--pivots", "pivots.json", "--origin", "sample", "--packages", "150"]);
    let told = stderr(&again);
    assert!(told.contains("names listed (0 added, 0 changed, 0 removed)"), "{told}");
    assert!(told.contains("unchanged"), "{told}");
    assert_eq!(stdout(&again), "", "nothing of it is a result");

    let status = run_binary(folder.path(), &["status"]);
    assert!(stdout(&status).contains("partitions committed"), "{}", stdout(&status));
    let status = run_binary(folder.path(), &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&stdout(&status)).unwrap();
    assert_eq!(status[0]["origin"], "sample");
}

/// The README's "try it": a registry in one window, changed by typing, and ingests in another.
#[test]
fn the_sample_changes_by_what_is_typed_and_plays_the_faults_of_a_file() {
    let folder = folder_with_pivots();
    let faults = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/faults.toml");
    let mut sample = all_docs(folder.path())
        .args(["sample", "--port", "0", "--packages", "60", "--odd", "--faults"])
        .arg(faults)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(sample.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let mut told = BufReader::new(sample.stderr.take().unwrap()).lines().map_while(Result::ok);
    let ingest = || {
        let arguments = ["ingest", "--pivots", "pivots.json", "--json", "--origin", url.trim()];
        let output = run_binary(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(6), "odd documents have no columns: {}", stderr(&output));
        serde_json::from_str::<serde_json::Value>(&stdout(&output)).unwrap()["counts"].take()
    };
    assert!(ingest()["names_added"].as_u64().unwrap() > 120);

    let mut typed = sample.stdin.take().unwrap();
    typed.write_all(b"publish all-new@1.2.3\nmisspelt\ndelete quirk-license-array\n").unwrap();
    assert!(told.any(|line| line.contains("published all-new@1.2.3")));
    assert!(told.any(|line| line.contains("\"misspelt\" is not understood")));
    assert!(told.any(|line| line.contains("deleted quirk-license-array")));
    drop(typed);
    let counts = ingest();
    assert_eq!((&counts["names_added"], &counts["names_removed"]), (&1.into(), &1.into()));
    sample.kill().unwrap();
    sample.wait().unwrap();
}

#[test]
fn a_registry_of_the_users_documents_reads_every_form_of_text() {
    let folder = tempfile::tempdir().unwrap();
    let line = r#"{"name":"café","_rev":"1-a","versions":{}}"#;
    let utf_16 = |text: &str| format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let array = format!("[{line},\r\n {{\"name\":\r\n\"b\"}}]");
    for (name, bytes, packages) in [
        ("plain.ndjson", line.as_bytes().to_vec(), 1),
        ("marked.ndjson", format!("\u{feff}{line}\r\n").into_bytes(), 1),
        ("wide.ndjson", utf_16(&format!("{line}\r\n{{\"name\":\"b\"}}")), 2),
        ("zstd-by-another.ndjson", zstd::encode_all(line.as_bytes(), 1).unwrap(), 1),
        ("array.json", array.into_bytes(), 2),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        let mut sample = all_docs(folder.path())
            .args(["sample", "--port", "0", "--from", name])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(sample.stderr.take().unwrap()).lines().map_while(Result::ok).next().unwrap();
        sample.kill().unwrap();
        sample.wait().unwrap();
        assert!(told.starts_with(&format!("{packages} packages at ")), "{name}: {told}");
    }
    fs::write(folder.path().join("none.json"), "[{\"name\":\"a\"}").unwrap();
    let output = run_binary(folder.path(), &["sample", "--port", "0", "--from", "none.json"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("none.json"), "{}", stderr(&output));
}

#[test]
fn a_summary_as_json_is_the_only_thing_on_standard_output() {
    let folder = folder_with_pivots();
    let arguments = ["ingest", "--pivots", "pivots.json", "--origin", "sample", "--packages", "40", "--json"];
    let summary: serde_json::Value = serde_json::from_str(&stdout(&run_binary(folder.path(), &arguments))).unwrap();
    assert_eq!(summary["counts"]["names_added"], 40);
}

#[cfg(feature = "query")]
#[test]
fn a_query_answers_in_each_format_and_finds_tables_by_origin() {
    let folder = sample_lake();
    let ask = |arguments: &[&str]| run_binary(folder.path(), &[&["query"], arguments].concat());
    let table = ask(&["select count(*) as packages from packages"]);
    assert!(stdout(&table).contains("packages"), "{}{}", stdout(&table), stderr(&table));
    let csv = ask(&["select name from sample.docs order by name limit 2", "--format", "csv"]);
    assert_eq!(stdout(&csv).lines().count(), 3);
    let json = ask(&["select name, rev_generation from docs limit 2", "--format", "json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(rows.len(), 2);
    let ndjson = ask(&["select name from docs", "--format", "ndjson"]);
    assert_eq!(stdout(&ndjson).lines().count(), 150);
    let file = ask(&["select * from versions", "--output", "versions.parquet"]);
    assert!(file.status.success(), "{}", stderr(&file));
    assert_eq!(fs::read(folder.path().join("versions.parquet")).unwrap()[..4], *b"PAR1");
    let plan = ask(&["select name from versions where name = 'a'", "--explain"]);
    assert!(stdout(&plan).contains("versions"), "{}", stdout(&plan));
    let document =
        ask(&["select json_get_str(json, 'name') = name as same from packuments where json is not null group by 1"]);
    assert!(stdout(&document).contains("true"), "{}{}", stdout(&document), stderr(&document));
}

#[cfg(feature = "query")]
#[test]
fn a_reader_that_closes_the_pipe_ends_the_query_quietly() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let folder = sample_lake();
    let mut child = all_docs(folder.path())
        .args(["query", "select a.name, b.name from docs a cross join docs b cross join docs c", "--format", "csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[cfg(feature = "query")]
#[test]
fn a_wrong_statement_gives_a_hint() {
    let folder = sample_lake();
    let before = lake_bytes(&folder.path().join("lake"));
    for (statement, expected) in [
        ("select nmae from packages", "name"),
        ("select * from package", "packages"),
        ("selekt 1", "selekt"),
        ("drop table packages", "read"),
        ("select * from packages tablesample (10)", "tablesample"),
        ("select * from packages for update", "for update"),
    ] {
        let output = run_binary(folder.path(), &["query", statement]);
        assert_eq!(output.status.code(), Some(2), "{statement}: {}", stderr(&output));
        assert!(stderr(&output).to_lowercase().contains(expected), "{statement}: {}", stderr(&output));
    }
    let output = run_binary(folder.path(), &["query", "select 1", "--format", "xml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("ndjson"), "{}", stderr(&output));
    assert_eq!(lake_bytes(&folder.path().join("lake")), before);
}

#[test]
fn a_missing_lake_gives_a_hint_how_to_make_one() {
    let folder = folder_with_pivots();
    let mut commands = vec![vec!["status"]];
    if cfg!(feature = "query") {
        commands.push(vec!["query", "select 1"]);
    }
    for command in &commands {
        let output = run_binary(folder.path(), command);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(stderr(&output).contains("all-docs ingest --pivots"), "{}", stderr(&output));
    }
}

#[test]
fn a_bad_pivots_file_is_shown_where_it_is_bad() {
    let folder = folder_with_pivots();
    for (text, expected) in [
        ("[\"b\", \"a\"]", "\"a\""),
        ("[\"a\", \"a\"]", "\"a\""),
        ("[\"a\", \"\"]", "empty"),
        ("[\"a\", 5]", "5"),
        ("module.exports = [", "SyntaxError"),
        ("export default Array.from({length: 3}, () => { while (true) {} })", "too long"),
        ("{\"a\": 1}", "list of pivots"),
        ("\"a\",\n\"m\",\n", "line 1 is no key"),
        ("a\n- m\n", "line 2 is no key"),
        ("a,m\n", "line 1 is no key"),
        ("<!doctype html>", "line 1 is no key"),
        ("z\na\rm", "line 2 is no key"),
        ("a\n\0b", "line 2 is no key"),
    ] {
        fs::write(folder.path().join("bad"), text).unwrap();
        let output = run_binary(folder.path(), &["ingest", "--pivots", "bad", "--origin", "sample"]);
        assert_eq!(output.status.code(), Some(2), "{text}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{text}: {}", stderr(&output));
    }
    let output = run_binary(folder.path(), &["ingest", "--pivots", "absent.json", "--origin", "sample"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("absent.json"));
    assert!(!folder.path().join("lake").exists());
}

#[test]
fn a_folder_that_is_no_lake_or_a_newer_one_is_left_alone() {
    let folder = folder_with_pivots();
    let place = folder.path().join("home");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("letter.txt"), "dear").unwrap();
    let ingest = |lake: &Path| {
        let arguments = ["ingest", "--pivots", "pivots.json", "--origin", "sample", "--lake", lake.to_str().unwrap()];
        run_binary(folder.path(), &arguments)
    };
    let output = ingest(&place);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("letter.txt"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1);

    let newer = folder.path().join("newer");
    fs::create_dir(&newer).unwrap();
    let info = "{\"format_version\": 99, \"tool_version\": \"9\", \"default_origin\": \"npm\", \"origins\": {}}";
    fs::write(newer.join("all-docs.json"), info).unwrap();
    let output = ingest(&newer);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("update all-docs"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(&newer).unwrap().count(), 1);
}

#[test]
fn an_origin_that_is_not_there_or_no_registry_is_a_network_error() {
    let folder = folder_with_pivots();
    let free_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = format!("http://127.0.0.1:{free_port}");
    let output = run_binary(folder.path(), &["ingest", "--pivots", "pivots.json", "--origin", &nowhere]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains(&free_port.to_string()), "{}", stderr(&output));
    let output = run_binary(folder.path(), &["ingest", "--pivots", "pivots.json", "--origin", "not a url"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(!folder.path().join("lake").exists(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_no_json_ends_the_run_and_harms_nothing() {
    use all_docs::sample::{Action, Fault, FaultScript, Kind};
    let env = Env::new(World::seeded(41, 60));
    fs::write(env.folder.path().join("pivots.json"), PIVOTS).unwrap();
    let ingest = || {
        all_docs(env.folder.path())
            .args(["ingest", "--pivots", "pivots.json", "--quiet", "--origin", env.server.url()])
            .output()
            .unwrap()
    };
    assert!(matches!(ingest().status.code(), Some(0 | 6)));
    let before = lake_bytes(&env.lake());
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Page, Action::HtmlWith200)]));
    let output = ingest();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let mut after = lake_bytes(&env.lake());
    after.retain(|name, _| !name.contains("/staging/"));
    assert_eq!(after, before);
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_is_a_lake_error() {
    let folder = folder_with_pivots();
    let arguments =
        ["ingest", "--pivots", "pivots.json", "--origin", "sample", "--packages", "20", "--lake", "/proc/lake"];
    let output = run_binary(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("/proc/lake"), "{}", stderr(&output));
}

/// The reader of standard error may be gone: the work continues, and ends in its own exit code.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_to_read_standard_error() {
    use all_docs::sample::{Action, Fault, FaultScript, Kind};
    let folder = folder_with_pivots();
    let mut command = all_docs(folder.path());
    let mut child = command.args(["status", "--lake", "nope"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(4));

    let env = Env::new(World::seeded(42, 30));
    let never = Action::Slow { before_headers_ms: 60_000, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, never)]));
    let mut child = env.ingest_command(&["m"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    // The root, four pages at most, and documents.
    while env.server.request_count() < 8 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_lake_is_found_by_a_path_with_parents() {
    let folder = sample_lake();
    fs::create_dir(folder.path().join("below")).unwrap();
    let mut commands = vec![vec!["status", "--lake", "../lake"], vec!["verify", "--lake", "../lake"]];
    if cfg!(feature = "query") {
        commands.push(vec!["query", "--lake", "../lake", "select count(*) from docs"]);
    }
    for command in &commands {
        let output = run_binary(&folder.path().join("below"), command);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[cfg(feature = "query")]
#[test]
fn a_result_goes_to_the_output_file() {
    let folder = sample_lake();
    let ask = |arguments: &[&str]| run_binary(folder.path(), &[&["query", "select 1 as one"], arguments].concat());
    assert_eq!(stdout(&ask(&["--output", "-", "--format", "csv"])), "one\n1\n");
    assert!(!folder.path().join("-").exists());
    let output = ask(&["--output", "answer.xlsx"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--format") && !folder.path().join("answer.xlsx").exists());
    assert_eq!(ask(&["--output", "answer.txt"]).status.code(), Some(0));
}

#[test]
fn help_answers() {
    let folder = tempfile::tempdir().unwrap();
    for (command, expected) in [
        (&["--help"][..], "Exit codes"),
        (&["ingest", "--help"], "module.exports"),
        (&["sample", "--help"], "--faults"),
        (&["status", "--help"], "--json"),
    ] {
        let output = run_binary(folder.path(), command);
        assert!(stdout(&output).contains(expected), "{command:?}: {}", stdout(&output));
    }
    assert_eq!(run_binary(folder.path(), &["ingest", "--packuments", "some"]).status.code(), Some(2));
}
