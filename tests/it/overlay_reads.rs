//! A lake with an overlay as SQL, DuckDB and Polars read it: each table has the rows of a fresh ingest.

use std::path::Path;
use std::process::Command;

use all_docs::lake::{Delta, Layout, Overlay, Partition, PartitionSet, Record};
use all_docs::sample::World;
use all_docs::table::TableKind;
use sha2::{Digest, Sha256};

use crate::support::{Env, ORIGIN, all_docs, python, stderr, stdout};

const PIVOTS: [&str; 2] = ["g", "p"];

/// A lake with an overlay, and one that an ingest of the same registry has made.
struct Scene {
    env: Env,
    fresh: Env,
}

/// Returns the names of a registry.
fn names(env: &Env) -> Vec<String> {
    env.server.world().names().map(str::to_owned).collect()
}

/// Makes the delta of one commit: an ingest of only these packages, and the names that are gone.
async fn put_delta(env: &Env, number: u64, changed: &[String], removed: &[String]) {
    let mut world = World::new();
    for name in changed {
        let served = env.server.world();
        world.put_raw(name, &served.revision(name).unwrap(), served.document(name).unwrap());
    }
    let alone = Env::new(world);
    alone.ingest(&[]).await;
    let layout = Layout::origin(ORIGIN).delta(number, number);
    let folder = env.lake().join(layout.root());
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::fs::rename(alone.lake().join(ORIGIN), &folder).unwrap();
    std::fs::remove_file(folder.join("partitions.json")).unwrap();

    let manifest = env.lake().join(layout.manifest(&Partition::ALL));
    let mut text: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    if !removed.is_empty() {
        text["removed"] = serde_json::json!(removed);
    }
    let text = text.to_string();
    std::fs::write(&manifest, &text).unwrap();
    let record = env.lake().join(Layout::origin(ORIGIN).overlay());
    let mut overlay = match std::fs::read(&record) {
        Ok(text) => Overlay::from_json("overlay.json", &text).unwrap(),
        Err(_) => Overlay::empty(),
    };
    overlay.deltas.push(Delta {
        first: number,
        last: number,
        manifest_sha256: format!("{:x}", Sha256::digest(&text)),
        names: (changed.len() + removed.len()) as u64,
        size_bytes: 0,
        oldest_at_us: 0,
    });
    overlay.newest = number;
    std::fs::write(record, overlay.to_json().unwrap()).unwrap();
}

impl Scene {
    async fn new() -> Scene {
        let env = Env::new(World::seeded(61, 150));
        env.ingest(&PIVOTS).await;
        let names = names(&env);
        {
            let mut world = env.server.world();
            world.publish(&names[3], "99.0.0");
            world.publish(&names[80], "99.0.0");
        }
        put_delta(&env, 1, &[names[3].clone(), names[80].clone()], &[]).await;
        let added = "added-by-the-overlay".to_owned();
        {
            let mut world = env.server.world();
            world.publish(&names[3], "99.1.0");
            world.publish(&names[149], "99.0.0");
            world.publish(&added, "1.0.0");
            world.delete(&names[7]);
        }
        put_delta(&env, 2, &[added, names[3].clone(), names[149].clone()], &[names[7].clone()]).await;

        let mut world = World::new();
        for name in self::names(&env) {
            let served = env.server.world();
            world.put_raw(&name, &served.revision(&name).unwrap(), served.document(&name).unwrap());
        }
        let fresh = Env::new(world);
        fresh.ingest(&PIVOTS).await;
        Scene { env, fresh }
    }
}

/// Returns the lines of a statement's result, sorted.
fn lines(folder: &Path, sql: &str) -> Vec<String> {
    let output = all_docs(folder).args(["query", "--lake", "lake", "--format", "ndjson", sql]).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", stderr(&output));
    let mut lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Returns the columns that do not depend on when and how often a document was asked for.
fn columns(table: TableKind) -> &'static str {
    if table == TableKind::Outcomes { "name, outcome, rev" } else { "*" }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_has_the_rows_of_a_fresh_ingest() {
    let scene = Scene::new().await;
    for table in TableKind::ALL {
        for sql in [
            format!("select {} from {table}", columns(table)),
            format!("select count(*) as n from {table}"),
            format!("select name, count(*) as n from {table} group by name"),
        ] {
            let (found, expected) = (lines(scene.env.folder.path(), &sql), lines(scene.fresh.folder.path(), &sql));
            assert!(found == expected, "{sql}: {} rows, and {} of a fresh ingest", found.len(), expected.len());
        }
    }
    let origin = scene.env.lake().join(ORIGIN);
    let sql = "select name, version, published_at from versions";
    copy_shards(&scene, &origin, 0);
    assert_eq!(
        lines(scene.env.folder.path(), sql),
        lines(scene.fresh.folder.path(), sql),
        "taken over, and not yet recorded"
    );
    take_over(&scene, &origin, 0);
    assert_eq!(lines(scene.env.folder.path(), sql), lines(scene.fresh.folder.path(), sql), "taken over");
}

fn read_record(origin: &Path) -> Overlay {
    Overlay::from_json("overlay.json", &std::fs::read(origin.join("overlay/overlay.json")).unwrap()).unwrap()
}

fn partition(origin: &Path, index: usize) -> Partition {
    let set = std::fs::read(origin.join("partitions.json")).unwrap();
    PartitionSet::from_json("partitions.json", &set).unwrap().get(index)
}

/// Puts the shards of a fresh ingest in place of those of a partition.
fn copy_shards(scene: &Scene, origin: &Path, index: usize) {
    let stem = partition(origin, index).file_stem();
    for table in TableKind::ALL {
        let file = format!("{table}/{stem}.parquet");
        std::fs::copy(scene.fresh.lake().join(ORIGIN).join(&file), origin.join(&file)).unwrap();
    }
}

/// Makes a partition take all deltas over.
fn take_over(scene: &Scene, origin: &Path, index: usize) {
    copy_shards(scene, origin, index);
    let mut overlay = read_record(origin);
    overlay.folded.insert(partition(origin, index).file_stem(), overlay.newest);
    std::fs::write(origin.join("overlay/overlay.json"), overlay.to_json().unwrap()).unwrap();
}

/// Returns the block of the README that is fenced as `language` and reads the overlay.
fn statement(language: &str) -> String {
    let page = include_str!("../../README.md");
    let fenced = page.split("```").skip(1).step_by(2);
    let mut of_language = fenced.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    of_language.find(|block| block.contains("overlay.json")).expect("the README has the statement").to_owned()
}

/// Tables, each with a column that tells the rows of one document from those of another.
const TOLD_BY: [(&str, &str); 4] =
    [("versions", "version"), ("docs", "rev"), ("dependencies", "version"), ("packages", "latest")];

/// Counts the rows of a table by its name and another column, with DuckDB and with Polars.
fn read_by_tools(python: &Path, lake: &Path, (table, column): (&str, &str)) -> [Vec<String>; 2] {
    let duckdb = statement("sql").replace("/versions/", &format!("/{table}/"));
    let polars = statement("python").replace("\"versions\"", &format!("{table:?}"));
    let script = "import duckdb, json, sys\nstatement, code, column = sys.argv[1:]\n\
        of_duckdb = duckdb.sql(statement).aggregate(f'name, {column}, count(*)').fetchall()\n\
        scope = {}\nexec(code, scope)\n\
        of_polars = scope['rows'].group_by('name', column).len().collect().rows()\n\
        lines = lambda rows: sorted(json.dumps({'name': name, column: value, 'n': n}, separators=(',', ':'), \
        ensure_ascii=False) for name, value, n in rows)\n\
        print(json.dumps([lines(of_duckdb), lines(of_polars)]))";
    let folder = lake.parent().unwrap();
    let output =
        Command::new(python).current_dir(folder).args(["-c", script, &duckdb, &polars, column]).output().unwrap();
    assert!(output.status.success(), "{table}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statements_of_the_readme_read_it_with_duckdb_and_polars() {
    let Some(python) = python() else { return };
    let scene = Scene::new().await;
    let (lake, npm) = (scene.env.lake(), scene.env.lake().join("npm"));
    std::fs::rename(lake.join(ORIGIN), &npm).unwrap();
    let check = || {
        for told_by in TOLD_BY {
            let (table, column) = told_by;
            let sql = format!("select name, {column}, count(*) as n from {table} group by name, {column}");
            let expected = lines(scene.fresh.folder.path(), &sql);
            let [duckdb, polars] = read_by_tools(&python, &lake, told_by);
            assert_eq!(duckdb, expected, "DuckDB, {table}");
            assert_eq!(polars, expected, "Polars, {table}");
        }
    };
    check();
    take_over(&scene, &npm, 0);
    check();
    // A lake that nothing follows has no overlay, and one that has taken everything over has no deltas.
    take_over(&scene, &npm, 1);
    take_over(&scene, &npm, 2);
    let empty = Overlay { deltas: Vec::new(), ..read_record(&npm) };
    std::fs::remove_dir_all(npm.join("overlay")).unwrap();
    check();
    std::fs::create_dir(npm.join("overlay")).unwrap();
    std::fs::write(npm.join("overlay/overlay.json"), empty.to_json().unwrap()).unwrap();
    check();
}

/// After each round of a follower, SQL has the rows of a fresh ingest, and the events say what happened.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_follower_commits_is_in_sql_at_once() {
    let name = |number: usize| format!("{}-{number}", ["a", "h", "q"][number % 3]);
    let mut world = World::new();
    (0..60).for_each(|number| world.publish(&name(number), "1.0.0"));
    let env = Env::new(world);
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    };
    run(&mut env.ingest_command(&PIVOTS));
    for round in 0..3 {
        {
            let mut world = env.server.world();
            (0..60).step_by(17).for_each(|number| world.publish(&name(number), &format!("2.{round}.0")));
            world.publish(&format!("new-{round}"), "1.0.0");
            world.delete(&name(3 + 8 * round));
        }
        let options = ["follow", "--once", "--quiet", "--fold-rows", "100%", "--origin", env.server.url()];
        run(all_docs(env.folder.path()).args(options));
        let record = crate::support::origin_folder(&env.lake()).join("overlay/overlay.json");
        let overlay = Overlay::from_json("overlay.json", &std::fs::read(record).unwrap()).unwrap();
        assert_eq!(overlay.deltas.len(), round + 1);
        let fresh = tempfile::tempdir().unwrap();
        run(env.ingest_command(&PIVOTS).current_dir(fresh.path()));
        let asked = |sql: &str| lines(env.folder.path(), sql);
        for table in TableKind::ALL.into_iter().filter(|table| *table != TableKind::Outcomes) {
            let sql = format!("select * from {table}");
            let (found, expected) = (asked(&sql), lines(fresh.path(), &sql));
            assert!(found == expected, "{round}, {table}: {} rows, and {} afresh", found.len(), expected.len());
        }
        let published =
            format!("select name from events where event = 'version_published' and version = '2.{round}.0'");
        assert_eq!(asked(&published).len(), 4, "{round}");
        for event in ["package_added", "package_removed"] {
            assert_eq!(asked(&format!("select id from events where event = '{event}'")).len(), round + 1, "{event}");
        }
    }
}
