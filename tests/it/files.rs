//! The files of a lake: low limits of open files, links and other file systems, and readers beside a writer.

use std::path::Path;
use std::process::{Command, Output};

use all_docs::sample::World;

use crate::support::{Env, assert_same_lake, origin_folder, run_binary, stderr, stdout};

const PIVOTS: [&str; 12] = ["b", "c", "d", "e", "f", "g", "i", "k", "m", "p", "s", "v"];

/// Runs a command with a hard limit of open files.
fn limited(limit: u32, command: &Command) -> Output {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -n {limit} && exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = crate::support::all_docs(folder);
    command.args(arguments);
    command
}

#[test]
fn a_hard_limit_of_160_open_files_is_enough_for_every_command() {
    let env = Env::new(World::seeded(81, 300));
    let lake = ["--lake", "lake", "--quiet"];
    let run = |what: &str, command: &Command| {
        let output = limited(160, command);
        assert_eq!(output.status.code(), Some(0), "{what}: {}", stderr(&output));
        output
    };
    run("a first ingest", &env.ingest_command(&PIVOTS));
    run("a refresh", env.ingest_command(&PIVOTS).arg("--refresh"));
    let folder = env.folder.path();
    run("a check", &command(folder, &[&["verify"], &lake[..]].concat()));
    run("a rebuild", &command(folder, &[&["rebuild", "--force"], &lake[..]].concat()));
    run("the status", &command(folder, &[&["status"], &lake[..]].concat()));
    if cfg!(feature = "query") {
        let sql = "select count(*) from docs join packages using (name) join packuments using (name)";
        let output = run("a statement", &command(folder, &[&["query", sql, "--format", "csv"], &lake[..]].concat()));
        assert!(stdout(&output).lines().nth(1).unwrap().parse::<u32>().unwrap() > 200, "{}", stdout(&output));
    }

    if cfg!(feature = "query") {
        // 104 shards, which are more than may be open.
        let sql = "select count(*) from versions v join dependencies d on d.name = v.name and d.version = v.version \
                   join packages p on p.name = v.name join docs o on o.name = v.name join maintainers m \
                   on m.name = v.name join packuments k on k.name = v.name join outcomes u on u.name = v.name \
                   join dist_tags t on t.name = v.name";
        let of = |limit| {
            let output = limited(limit, &command(folder, &[&["query", sql, "--format", "csv"], &lake[..]].concat()));
            assert_eq!(output.status.code(), Some(0), "{limit}: {}", stderr(&output));
            stdout(&output)
        };
        assert_eq!(of(80), of(4_000));
    }

    let unlimited = Env::new(World::seeded(81, 300));
    let output = unlimited.ingest_command(&PIVOTS).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for env in [&env, &unlimited] {
        crate::support::same_name(env);
    }
    assert_same_lake(&env.lake(), &unlimited.lake());
}

#[test]
fn a_limit_that_is_too_low_is_named_and_nothing_is_called_damaged() {
    let env = Env::new(World::seeded(82, 40));
    assert!(env.ingest_command(&["m"]).output().unwrap().status.success());
    // Less than the shards of one partition.
    let output = limited(18, &command(env.folder.path(), &["verify", "--lake", "lake"]));
    let told = stdout(&output) + &stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("ulimit -n") && !told.contains("damaged"), "{told}");
}

#[cfg(unix)]
#[test]
fn a_table_that_is_a_link_within_the_file_system_is_updated_through_it() {
    let env = Env::new(World::seeded(83, 60));
    assert!(env.ingest_command(&["m"]).output().unwrap().status.success());
    let table = origin_folder(&env.lake()).join("packuments");
    let elsewhere = env.folder.path().join("elsewhere");
    std::fs::rename(&table, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &table).unwrap();
    let name = env.server.world().names().next().unwrap().to_owned();
    env.server.world().publish(&name, "99.0.0");
    let output = env.ingest_command(&["m"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(table.is_symlink());
    let output = run_binary(env.folder.path(), &["verify", "--lake", "lake"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let shown = run_binary(env.folder.path(), &["packument", "show", &name, "--lake", "lake"]);
    assert!(stdout(&shown).contains("99.0.0"), "{}", stderr(&shown));
}

/// `/dev/shm` is a file system of its own on Linux.
#[cfg(target_os = "linux")]
#[test]
fn a_table_on_another_file_system_is_named_before_anything_is_requested_or_changed() {
    use std::os::unix::fs::MetadataExt;
    let env = Env::new(World::seeded(84, 60));
    let Ok(shm) = std::fs::metadata("/dev/shm") else { return };
    if shm.dev() == std::fs::metadata(env.folder.path()).unwrap().dev() {
        return;
    }
    assert!(env.ingest_command(&["m"]).output().unwrap().status.success());
    let table = origin_folder(&env.lake()).join("packuments");
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    let moved = shm.path().join("packuments");
    assert!(Command::new("cp").arg("-r").args([&table, &moved]).status().unwrap().success());
    std::fs::remove_dir_all(&table).unwrap();
    std::os::unix::fs::symlink(&moved, &table).unwrap();
    let name = env.server.world().names().next().unwrap().to_owned();
    env.server.world().publish(&name, "99.0.0");
    env.server.clear_requests();
    let before = crate::support::lake_bytes(&env.lake());
    let verified = run_binary(env.folder.path(), &["verify", "--lake", "lake"]);
    assert_eq!(verified.status.code(), Some(4));
    assert!(stdout(&verified).contains("/packuments: it is on another file system"), "{}", stdout(&verified));
    let updated = env.ingest_command(&["m"]).output().unwrap();
    let repaired = run_binary(env.folder.path(), &["verify", "--repair", "--lake", "lake"]);
    for output in [updated, repaired] {
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(stderr(&output).contains("move the whole lake"), "{}", stderr(&output));
    }
    assert_eq!(env.server.requests().len(), 0);
    assert_eq!(crate::support::lake_bytes(&env.lake()), before);

    std::fs::remove_file(&table).unwrap();
    assert!(Command::new("cp").arg("-r").args([&moved, &table]).status().unwrap().success());
    assert!(env.ingest_command(&["m"]).output().unwrap().status.success());
    assert_eq!(run_binary(env.folder.path(), &["verify", "--lake", "lake"]).status.code(), Some(0));
}

#[cfg(feature = "query")]
mod beside_a_writer {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use all_docs::lake::Layout;
    use all_docs::npm::PackageName;
    use all_docs::pipeline::{LakeDocuments, Progress, lake_status, read_lake, validate_partitions, verify};
    use all_docs::query::{Session, SessionOptions};
    use all_docs::sample::World;
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use futures::TryStreamExt;
    use tokio_util::sync::CancellationToken;

    use crate::support::{Env, ORIGIN, run};

    const NAMES: u32 = 120;
    /// Statements whose single number an ingest that only publishes versions does not change.
    const STATEMENTS: [&str; 5] = [
        "select count(*) from docs",
        "select count(*) from packages",
        "select count(distinct name) from packuments where json is not null",
        "select count(distinct one.name) from docs one join docs other on one.name = other.name",
        "select count(distinct name) from (select name from versions union all select name from docs)",
    ];

    /// Runs statements and other readers while an ingest commits without pause. Returns how often it committed.
    async fn readers(statements: usize) -> u32 {
        let env = Arc::new(Env::new(World::seeded(85, NAMES as usize)));
        env.ingest(&["g", "p"]).await;
        let store = env.store();
        let info = read_lake(&store).await.unwrap().unwrap();
        let options = SessionOptions { threads: 2, ..SessionOptions::default() };
        let session = Session::open(&store, &info, &options).unwrap();
        let mut expected = Vec::new();
        for sql in STATEMENTS {
            expected.push(number(&session, sql).await.unwrap());
        }
        let (is_over, commits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let writer = tokio::spawn({
            let (env, is_over, commits) = (Arc::clone(&env), Arc::clone(&is_over), Arc::clone(&commits));
            async move {
                let names = env.names(all_docs::table::TableKind::Versions);
                for (turn, name) in (1_u32..).zip(names.iter().cycle()) {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    env.server.world().publish(name, &format!("{turn}.7.7-beside"));
                    let summary = run(env.options(&["g", "p"])).await.unwrap();
                    let counts = summary.counts;
                    commits.fetch_add((counts.partitions_done - counts.partitions_unchanged) as u32, Ordering::Relaxed);
                }
            }
        });
        let documents = LakeDocuments::open(&store, &Layout::origin(ORIGIN)).await.unwrap();
        let first = PackageName::new(env.names(all_docs::table::TableKind::Packages)[0].clone());
        for turn in 0..statements {
            let at = turn % STATEMENTS.len();
            let seen = number(&session, STATEMENTS[at]).await;
            assert_eq!(seen.unwrap(), expected[at], "statement {turn}: {}", STATEMENTS[at]);
            if turn % 20 == 7 {
                let proof = verify(&store, None, Arc::<Progress>::default(), CancellationToken::new()).await.unwrap();
                assert!(proof.is_sound(), "{proof:?}");
                assert!(lake_status(&store).await.unwrap().is_some());
                let faults = validate_partitions(&store, &Layout::origin(ORIGIN)).await.unwrap();
                assert!(faults.is_empty(), "{faults:?}");
                let (documents, first) = (documents.clone(), first.clone());
                let found = tokio::task::spawn_blocking(move || documents.find(&first)).await.unwrap();
                assert!(found.unwrap().is_some());
            }
        }
        is_over.store(true, Ordering::Relaxed);
        writer.await.unwrap();
        commits.load(Ordering::Relaxed)
    }

    async fn number(session: &Session, sql: &str) -> all_docs::error::Result<i64> {
        let batches: Vec<_> = session.query(sql).await?.try_collect().await?;
        Ok(batches.iter().find(|batch| batch.num_rows() > 0).unwrap().column(0).as_primitive::<Int64Type>().value(0))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_reader_fails() {
        readers(60).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes; run it by hand after a change of how shards are read"]
    async fn none_of_two_thousand_statements_fails() {
        eprintln!("{} partitions were committed meanwhile", readers(2_000).await);
    }
}

/// Returns the exit code of a command, and everything that it printed.
fn told(env: &Env, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run_binary(env.folder.path(), &[arguments, &["--lake", "lake"]].concat());
    (output.status.code(), stdout(&output) + &stderr(&output))
}

#[test]
fn every_command_that_needs_a_lost_shard_says_so() {
    let env = Env::new(World::seeded(84, 60));
    assert!(env.ingest_command(&["m"]).output().unwrap().status.success());
    assert_eq!(told(&env, &["status"]).0, Some(0));
    let name = env.server.world().names().next().unwrap().to_owned();
    std::fs::write(env.folder.path().join("names.txt"), &name).unwrap();
    let is_told = |(code, told): (Option<i32>, String), table: &str| {
        assert_eq!(code, Some(4), "{told}");
        let origin = origin_folder(&env.lake());
        let path = format!("{}/{table}/0-6d.parquet", origin.file_name().unwrap().to_str().unwrap());
        assert!(told.contains(&path) && told.contains("gone") && told.contains("verify"), "{told}");
    };
    for table in ["stars", "packuments"] {
        let shard = origin_folder(&env.lake()).join(table).join("0-6d.parquet");
        let aside = env.folder.path().join("aside");
        std::fs::rename(&shard, &aside).unwrap();
        is_told(told(&env, &["status"]), table);
        let ingest = env.ingest_command(&["m"]).output().unwrap();
        is_told((ingest.status.code(), stderr(&ingest)), table);
        if cfg!(feature = "query") {
            is_told(told(&env, &["query", &format!("select name from {table}")]), table);
            assert_eq!(told(&env, &["query", "select count(*) from dist_tags"]).0, Some(0));
        }
        if table == "packuments" {
            is_told(told(&env, &["packument", "export", "names.txt", "documents"]), table);
            is_told(told(&env, &["packument", "show", &name]), table);
            is_told(told(&env, &["cache", "list", "--packuments"]), table);
        }
        std::fs::rename(&aside, &shard).unwrap();
    }
    assert_eq!(told(&env, &["packument", "export", "names.txt", "documents"]).0, Some(0));
    assert_eq!(told(&env, &["status"]).0, Some(0));
}

#[cfg(unix)]
#[test]
fn an_origin_whose_disk_is_away_does_not_seem_to_be_empty() {
    let env = Env::new(World::seeded(86, 40));
    assert!(env.ingest_command(&["m"]).output().unwrap().status.success());
    let origin = origin_folder(&env.lake());
    std::fs::rename(&origin, env.folder.path().join("aside")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &origin).unwrap();
    let mut commands = vec![vec!["status"], vec!["packument", "show", "a"]];
    if cfg!(feature = "query") {
        commands.push(vec!["query", "select count(*) from versions"]);
    }
    for command in commands {
        let (code, told) = told(&env, &command);
        assert_eq!(code, Some(4), "{command:?}: {told}");
        assert!(command[0] == "packument" || told.contains("leads nowhere"), "{command:?}: {told}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_shard_is_named_and_nobody_waits_for_its_writer() {
    let env = Env::new(World::seeded(85, 60));
    assert!(env.ingest_command(&["m"]).output().unwrap().status.success());
    let shard = origin_folder(&env.lake()).join("docs/0-6d.parquet");
    std::fs::remove_file(&shard).unwrap();
    assert!(Command::new("mkfifo").arg(&shard).status().unwrap().success());
    for arguments in [&["cache", "validate-partitions"][..], &["verify"], &["status"]] {
        let (code, told) = told(&env, arguments);
        assert!(code == Some(4) || arguments == ["status"], "{told}");
        assert!(arguments == ["status"] || told.contains("docs/0-6d.parquet"), "{told}");
    }
    let ingest = env.ingest_command(&["m"]).output().unwrap();
    assert_eq!(ingest.status.code(), Some(4), "{}", stderr(&ingest));
    assert!(stderr(&ingest).contains("no regular file"), "{}", stderr(&ingest));
}
