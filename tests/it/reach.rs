//! Reaching a bucket from the command line: which setting wins, what is said where one is wrong, and that no secret is
//! printed. The server is a script on loopback. Not here: lakes in buckets (`buckets`).

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use crate::support::{all_docs, stderr};

/// A server that gives every request one response, and keeps the `Authorization` of each.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(status: u16, body: &'static str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                let lines = BufReader::new(connection.try_clone().unwrap()).lines();
                let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let signed = head.iter().find(|line| line.to_ascii_lowercase().starts_with("authorization:"));
                kept.lock().unwrap().push(signed.cloned().unwrap_or_default());
                let length = body.len();
                let _ = write!(
                    connection,
                    "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        Server { url, asked }
    }

    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

const WRONG_KEY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InvalidAccessKeyId</Code><Message>The AWS Access Key Id you provided does not exist in our records.</Message></Error>";
const NO_KEY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>";

/// A command whose only credentials are those that the test gives.
fn command(home: &Path) -> Command {
    let mut command = all_docs(home);
    command.env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn keys(command: &mut Command) -> &mut Command {
    command.env("AWS_ACCESS_KEY_ID", "AK").env("AWS_SECRET_ACCESS_KEY", "hush")
}

/// Returns what the command wrote to standard error, after checks that hold for every failure here.
fn failure(output: &Output, code: i32) -> String {
    let told = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(!told.contains("hush"), "{told}");
    told
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_settings_file() {
    let folder = tempfile::tempdir().unwrap();
    let servers = [(); 3].map(|()| Server::start(403, WRONG_KEY));
    let [of_file, of_variable, of_flag] = &servers;
    let text = format!(
        "lake = \"s3://lake/a\"\nendpoint = \"{}\"\nlake-option = [\"aws_access_key_id=FK\", \"aws_secret_access_key=hush\"]\n",
        of_file.url
    );
    std::fs::write(folder.path().join("all-docs.toml"), text).unwrap();
    let asked = |command: &mut Command| {
        let told = failure(&command.output().unwrap(), 4);
        assert!(told.contains("the credentials for s3://lake are wrong"), "{told}");
        servers.iter().map(|server| server.take_asked().join(" ")).collect::<Vec<_>>()
    };
    let is_of = |asked: &[String], index: usize, key: &str| {
        let right = asked[index].contains(&format!("Credential={key}/"));
        right && asked.iter().enumerate().all(|(other, asked)| other == index || asked.is_empty())
    };
    let of = asked(command(folder.path()).arg("status"));
    assert!(is_of(&of, 0, "FK"), "{of:?}");
    let variables = [("ALL_DOCS_ENDPOINT", of_variable.url.as_str()), ("AWS_ACCESS_KEY_ID", "AK")];
    let of = asked(command(folder.path()).envs(variables).arg("status"));
    assert!(is_of(&of, 1, "FK"), "{of:?}");
    let option =
        [("ALL_DOCS_LAKE_OPTION", "aws_access_key_id=VK\naws_secret_access_key=hush"), ("ALL_DOCS_ENDPOINT", "")];
    let of = asked(command(folder.path()).envs(option).arg("status"));
    assert!(is_of(&of, 0, "VK"), "{of:?}");
    let flags = ["status", "--endpoint", &of_flag.url, "--lake-option", "aws_access_key_id=OK"];
    let of = asked(command(folder.path()).envs(variables).args(flags).args([
        "--lake-option",
        "aws_secret_access_key=hush",
        "-vv",
    ]));
    assert!(is_of(&of, 2, "OK"), "{of:?}");
}

#[test]
fn settings_that_are_missing_are_named_before_any_request() {
    let folder = tempfile::tempdir().unwrap();
    let run = |location: &str, variables: &[(&str, &str)]| {
        let mut command = command(folder.path());
        command.envs(variables.iter().copied()).args(["ingest", "--origin", "sample", "--lake", location]);
        failure(&command.output().unwrap(), 2)
    };
    for (location, variables, named) in [
        ("s3://lake", &[][..], "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("s3://lake", &[("AWS_SECRET_ACCESS_KEY", "hush")], "AWS_ACCESS_KEY_ID is not"),
        ("s3://lake", &[("AWS_PROFILE", "gone")], "there is no such profile"),
        ("s3://k:hush@lake", &[], "holds no user or password"),
        (
            "r2://lake",
            &[("R2_ACCESS_KEY_ID", "x"), ("R2_SECRET_ACCESS_KEY", "hush")],
            "CLOUDFLARE_ACCOUNT_ID is not set",
        ),
        ("gs://lake", &[("GOOGLE_APPLICATION_CREDENTIALS", "gone.json")], "gone.json"),
        ("gs://lake", &[("ALL_DOCS_LAKE_OPTION", "hush")], "not KEY=VALUE"),
        ("gs://lake", &[("ALL_DOCS_LAKE_OPTION", "tiemout=hush")], "--lake-option tiemout"),
        ("az://lake", &[], "gs://, r2:// or s3://"),
    ] {
        let told = run(location, variables);
        assert!(told.contains(named) && told.contains("hint: "), "{location}: {told}");
    }
}

#[test]
fn a_bucket_that_cannot_be_reached_ends_a_run_before_the_registry_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    // No process listens at this address any more.
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ingest = |lake: &str| {
        let mut command = command(folder.path());
        command.args(["ingest", "--origin", "sample", "--packages", "3", "--lake", lake]);
        command
    };
    let output = keys(&mut ingest("s3://lake")).args(["--endpoint", &format!("http://{nowhere}")]).output().unwrap();
    let told = failure(&output, 4);
    assert!(told.contains(&format!("{nowhere} cannot be reached")) && told.contains("--endpoint"), "{told}");

    let machine = [("GCE_METADATA_HOST", nowhere.as_str()), ("GCE_METADATA_IP", nowhere.as_str())];
    let told = failure(&ingest("gs://lake").envs(machine).output().unwrap(), 4);
    assert!(told.contains("there are no credentials for gs://lake"), "{told}");
    assert!(told.contains("gcloud auth application-default login"), "{told}");
}

#[test]
fn verbose_says_how_many_operations_a_bucket_got() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(404, NO_KEY);
    let status = |flags: &[&str]| {
        let mut command = command(folder.path());
        keys(&mut command).args(["status", "--lake", "s3://lake/a", "--endpoint", &server.url]).args(flags);
        failure(&command.output().unwrap(), 4)
    };
    let told = status(&["-v"]);
    assert!(told.contains("bucket   s3://lake/a/: 1 operations (1 lists), 0 B up, 0 B down\n"), "{told}");
    assert!(!status(&[]).contains("operations"));
    assert_eq!(server.take_asked().len(), 2);
}
