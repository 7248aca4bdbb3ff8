//! `packument show` and `export`: bytes as served, and a message for each missing document.

use std::fs;

use all_docs::sample::World;

use super::{answer, exit_code, run, small_lake};
use crate::support::{Env, stderr, stdout};

fn odd_world() -> World {
    let mut world = World::new();
    world.add_names(["@scope/pkg", "left-pad", "plain"]);
    world.put_raw("spaced", "1-a", &b"{ \"name\" : \"spaced\",\r\n \"dist-tags\":{\"latest\":\"1.0.0\"},\n\"versions\":{\"1.0.0\":{\"dist\": {\"size\":1.50}}} }\n"[..]);
    world.put_raw("torn", "1-b", &b"{\"name\":\"torn\",\"readme\":\"\xff\xfe\"}"[..]);
    world
}

fn lake() -> Env {
    let env = Env::new(odd_world());
    let output = run(&env, &["ingest", "--origin", "ORIGIN", "--partition-rows", "2"]);
    assert!(matches!(exit_code(&output), Some(0 | 6)), "{}", stderr(&output));
    env.server.clear_requests();
    env
}

#[test]
fn a_document_is_shown_byte_for_byte_without_a_request() {
    let env = lake();
    for name in ["@scope/pkg", "left-pad", "spaced", "torn"] {
        let shown = run(&env, &["packument", "show", name]);
        assert!(shown.status.success(), "{}", stderr(&shown));
        assert_eq!(shown.stdout, env.server.world().document(name).unwrap(), "{name}");
    }
    assert!(env.server.requests().is_empty());
}

#[test]
fn a_version_and_selected_values_are_shown_unchanged() {
    let env = lake();
    for spec in ["spaced@1.0.0", "spaced@latest"] {
        assert_eq!(answer(&env, &["packument", "show", spec]), "{\"dist\": {\"size\":1.50}}\n");
    }
    assert_eq!(answer(&env, &["packument", "show", "spaced@1.0.0", "--select", "dist.size"]), "1.50\n");
    assert_eq!(
        answer(&env, &["packument", "show", "spaced", "--select", "name, versions|keys as all", "nothing"]),
        "{\"name\":\"spaced\",\"all\":[\"1.0.0\"],\"nothing\":null}\n"
    );
    let version = run(&env, &["packument", "show", "spaced@2"]);
    assert_eq!(exit_code(&version), Some(2));
    assert!(stderr(&version).contains("versions|keys"), "{}", stderr(&version));
    let wrong = run(&env, &["packument", "show", "spaced", "--select", "a|upper"]);
    assert_eq!(exit_code(&wrong), Some(2));
    assert!(stderr(&wrong).contains("length"), "{}", stderr(&wrong));
}

#[test]
fn a_name_without_a_document_gives_the_reason_and_a_hint() {
    let env = small_lake(&["left-pad", "react"]);
    let near = run(&env, &["packument", "show", "left-padd"]);
    assert_eq!(exit_code(&near), Some(2));
    assert!(stderr(&near).contains("did you mean left-pad"), "{}", stderr(&near));
    assert!(stderr(&near).contains("packument fetch 'left-padd'"), "{}", stderr(&near));
    env.server.world().add_names(["leftover"]);
    answer(&env, &["partition", "refresh", "--origin", "ORIGIN"]);
    let listed = run(&env, &["packument", "show", "leftover"]);
    assert!(stderr(&listed).contains("never fetched"), "{}", stderr(&listed));
    let origin = run(&env, &["packument", "show", "react", "--origin", "mirror"]);
    assert_eq!(exit_code(&origin), Some(2));
    assert!(stderr(&origin).contains("npm"), "{}", stderr(&origin));
    let nowhere = run(&env, &["packument", "show", "react", "--lake", "nowhere"]);
    assert_eq!(exit_code(&nowhere), Some(4));
}

#[test]
fn an_export_is_byte_exact_resumes_and_lists_what_is_missing() {
    let env = lake();
    let folder = env.folder.path();
    fs::write(folder.join("all.txt"), "@scope/pkg\nleft-pad@1.0.0\nspaced\ntorn\nnobody\n").unwrap();
    let export = || run(&env, &["packument", "export", "all.txt", "out"]);
    let first = export();
    assert_eq!(exit_code(&first), Some(6), "{}", stderr(&first));
    assert!(stderr(&first).contains("1 names: nobody"), "{}", stderr(&first));
    for (file, name) in [
        ("%40scope%2Fpkg.json", "@scope/pkg"),
        ("left-pad.json", "left-pad"),
        ("spaced.json", "spaced"),
        ("torn.json", "torn"),
    ] {
        assert_eq!(fs::read(folder.join("out").join(file)).unwrap(), env.server.world().document(name).unwrap());
    }
    assert_eq!(fs::read_dir(folder.join("out")).unwrap().count(), 4, "nothing else lies there");

    // The leftovers of a stopped export: a whole file, a missing one, and half a one.
    let modified = |file: &str| fs::metadata(folder.join("out").join(file)).unwrap().modified().unwrap();
    let kept = modified("spaced.json");
    fs::remove_file(folder.join("out/left-pad.json")).unwrap();
    fs::write(folder.join("out/torn.json"), "{").unwrap();
    let again = export();
    assert!(stderr(&again).contains("2 documents written"), "{}", stderr(&again));
    assert!(stderr(&again).contains("2 were there already"), "{}", stderr(&again));
    assert_eq!(modified("spaced.json"), kept);
    assert_eq!(fs::read(folder.join("out/torn.json")).unwrap(), env.server.world().document("torn").unwrap());
}

#[test]
fn an_export_of_lines_has_a_document_a_line() {
    let env = lake();
    fs::write(env.folder.path().join("some.json"), "[\"spaced\", \"left-pad\"]").unwrap();
    let lines = answer(&env, &["packument", "export", "some.json", "-", "--format", "ndjson"]);
    let documents: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 2);
    assert_eq!((&documents[0]["name"], &documents[1]["name"]), (&"left-pad".into(), &"spaced".into()));
    answer(&env, &["packument", "export", "some.json", "some.ndjson", "--format", "ndjson"]);
    assert_eq!(fs::read_to_string(env.folder.path().join("some.ndjson")).unwrap(), lines);
    let bad = run(&env, &["packument", "export", "absent.txt", "out"]);
    assert_eq!((exit_code(&bad), stdout(&bad).as_str()), (Some(2), ""));
    assert!(stderr(&bad).contains("absent.txt"));
}

#[test]
fn an_export_names_the_documents_that_cannot_be_files_and_writes_the_others() {
    let long = "\u{4e2d}".repeat(40);
    let env = small_lake(&["a", "b..c", "taken", &long, "z"]);
    let folder = env.folder.path().join("out");
    fs::create_dir_all(folder.join("taken.json")).unwrap();
    let names = env.folder.path().join("names.txt");
    fs::write(&names, ["a", "b..c", "taken", &long, "z"].join("\n")).unwrap();
    let exported = run(&env, &["packument", "export", "names.txt", "out"]);
    assert_eq!(exit_code(&exported), Some(6), "{}", stderr(&exported));
    let told = stderr(&exported);
    assert!(told.contains("2 documents could not become files") && told.contains(&long), "{told}");
    assert!(told.contains("taken (a folder has the file's name)") && told.contains("--format ndjson"), "{told}");
    let mut written: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    written.sort();
    assert_eq!(written, ["a.json", "b..c.json", "taken.json", "z.json"]);
    assert_eq!(
        exit_code(&run(&env, &["packument", "export", "names.txt", "all.ndjson", "--format", "ndjson"])),
        Some(0)
    );
    assert_eq!(fs::read_to_string(env.folder.path().join("all.ndjson")).unwrap().lines().count(), 5);
}

/// Lists, pivots, indexes and SQL as editors on Windows save them.
#[test]
fn each_text_of_a_user_may_be_utf_16_with_any_line_ends() {
    let env = small_lake(&["left-pad", "react", "vue"]);
    let put = |name: &str, text: &str| {
        let units = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let bytes: Vec<u8> = units.encode_utf16().flat_map(u16::to_le_bytes).collect();
        fs::write(env.folder.path().join(name), bytes).unwrap();
    };
    put("names.txt", "# list\nreact\nvue@1.0.0\n");
    put("names.json", "[\"react\",\n\"vue\"]");
    for list in ["names.txt", "names.json"] {
        answer(&env, &["packument", "export", list, &format!("{list}.out"), "--format", "ndjson"]);
        assert_eq!(fs::read_to_string(env.folder.path().join(format!("{list}.out"))).unwrap().lines().count(), 2);
    }
    put("pivots.txt", "m\nr\n");
    put("pivots.js", "module.exports = ['m',\n 'r'];\n");
    put("pivots.json", "[null,\n\"m\", \"r\", null]");
    for pivots in ["pivots.txt", "pivots.js", "pivots.json"] {
        answer(&env, &["ingest", "--origin", "ORIGIN", "--pivots", pivots, "--packuments", "none"]);
        assert_eq!(crate::commands::pages_asked(&env).len(), 3, "{pivots}");
    }
    let index = answer(&env, &["cache", "create-index"]);
    put("old.csv", &index);
    assert_eq!(answer(&env, &["cache", "create-index", "--diff", "old.csv"]), "");
    put("all-docs.toml", "lake = \"nowhere\"\n");
    assert_eq!(exit_code(&run(&env, &["status", "--config", "all-docs.toml"])), Some(4));
    fs::remove_file(env.folder.path().join("all-docs.toml")).unwrap();
    fs::write(env.folder.path().join("bad.txt"), b"react\ncaf\xe9\n").unwrap();
    let bad = run(&env, &["packument", "export", "bad.txt", "out"]);
    assert_eq!(exit_code(&bad), Some(2));
    assert!(stderr(&bad).contains("bad.txt is not text in UTF-8: line 2"), "{}", stderr(&bad));
}

#[cfg(feature = "query")]
#[test]
fn sql_files_views_and_pipes_may_be_utf_16() {
    use std::io::Write;

    let env = small_lake(&["left-pad", "react"]);
    let utf_16 = |text: &str| format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let view = "-- One row is: a name.\r\nselect name as seen from docs\r\n";
    for folder in [env.lake().join("queries/views"), env.folder.path().join("mine/views")] {
        fs::create_dir_all(&folder).unwrap();
    }
    fs::write(env.lake().join("queries/views/seen.sql"), utf_16(view)).unwrap();
    fs::write(env.folder.path().join("mine/views/seen_too.sql"), view.replace("\r\n", "\r")).unwrap();
    let sql = "select count(*) as n from seen join seen_too using (seen)";
    assert_eq!(answer(&env, &["query", sql, "--queries", "mine", "--format", "csv"]), "n\n2\n");
    fs::write(env.folder.path().join("q.sql"), utf_16("-- a remark\r\nselect 'é' as e\r\n")).unwrap();
    assert_eq!(answer(&env, &["query", "--file", "q.sql", "--format", "csv"]), "e\né\n");
    let mut child = crate::support::all_docs(env.folder.path())
        .args(["query", "--format", "csv"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&utf_16("select 1 as a;\r\nselect 2 as b;\r\n")).unwrap();
    assert_eq!(stdout(&child.wait_with_output().unwrap()), "a\n1\nb\n2\n");
}
