//! Secrets through the real binary: each goes only to its server and path, and to no other server, terminal or file.

use std::path::Path;
use std::process::Output;

use all_docs::sample::{Action, Fault, FaultScript, Kind, Options, SampleServer, World};

use crate::support::{all_docs, read_table, stderr, stdout, texts};

/// A marker in every secret here.
const SESAME: &str = "sesame";

fn serve() -> SampleServer {
    let mut world = World::new();
    world.add_names(["a", "b", "c"]);
    SampleServer::start(world, Options::default()).unwrap()
}

/// Returns the server as `.npmrc` names it.
fn place(server: &SampleServer) -> &str {
    server.url().strip_prefix("http:").unwrap()
}

/// Ingests pages from `pages` and documents from `documents`, with `./.npmrc` and the user's.
fn ingest(
    folder: &Path,
    pages: &SampleServer,
    documents: &SampleServer,
    project: impl AsRef<[u8]>,
    user: &str,
) -> Output {
    std::fs::write(folder.join(".npmrc"), project).unwrap();
    std::fs::write(folder.join("user.npmrc"), user).unwrap();
    std::fs::write(folder.join("pivots.json"), "[\"b\"]").unwrap();
    let mut command = all_docs(folder);
    command.args(["ingest", "--pivots", "pivots.json", "--userconfig", "user.npmrc", "--origin", pages.url()]);
    command.args(["--registry", documents.url()]);
    command.env("NPM_TOKEN", "npm_sesame").env("SAMPLE_TOKEN", "variable-sesame");
    let output = command.output().unwrap();
    assert!(!stdout(&output).contains(SESAME) && !stderr(&output).contains(SESAME), "{}", stderr(&output));
    assert_no_file_holds_a_secret(&folder.join("lake"));
    output
}

fn assert_no_file_holds_a_secret(lake: &Path) {
    let mut pending = vec![lake.to_owned()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.exists() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(SESAME.len()).any(|window| window == SESAME.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

/// Returns the `Authorization` headers that a server saw, each once.
fn authorizations(server: &SampleServer) -> Vec<Option<String>> {
    let mut seen: Vec<_> = server.requests().into_iter().map(|request| request.authorization).collect();
    seen.sort();
    seen.dedup();
    seen
}

fn bearer(token: &str) -> Vec<Option<String>> {
    vec![Some(format!("Bearer {token}"))]
}

#[test]
fn two_servers_get_each_its_own_token() {
    let (pages, documents, folder) = (serve(), serve(), tempfile::tempdir().unwrap());
    let project = format!("{}/:_authToken=${{SAMPLE_TOKEN}}\n", place(&pages));
    let user = format!("{}/:_authToken=user-sesame\n{0}:_auth=ignored-sesame\n", place(&documents));
    let output = ingest(folder.path(), &pages, &documents, project, &user);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(authorizations(&pages), bearer("variable-sesame"));
    assert_eq!(authorizations(&documents), bearer("user-sesame"));
}

#[test]
fn the_projects_file_wins_over_the_users_and_npm_token_is_for_npm_alone() {
    let (pages, documents, folder) = (serve(), serve(), tempfile::tempdir().unwrap());
    let project = format!("{}/:_auth=bWU6c2VzYW1l\n", place(&pages));
    let user = format!("{}/:_auth=eW91OnNlc2FtZQ==\n_authToken=anywhere-sesame\n", place(&pages));
    let output = ingest(folder.path(), &pages, &documents, project, &user);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(authorizations(&pages), [Some("Basic bWU6c2VzYW1l".to_owned())]);
    assert_eq!(authorizations(&documents), [None]);
    assert!(stderr(&output).contains("_authToken: not used"), "{}", stderr(&output));
}

/// `Grüße` in Latin-1, and a password in base64 without padding: npm reads both.
#[test]
fn a_file_in_latin_1_is_read_and_a_password_without_padding() {
    let (own, folder) = (serve(), tempfile::tempdir().unwrap());
    let place = place(&own);
    let text = format!("; Grü\u{df}e\n{place}/:username=me\n{place}/:_password=c2VzYW1lMQ\n");
    let latin_1: Vec<u8> = text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
    assert!(std::str::from_utf8(&latin_1).is_err());
    let output = ingest(folder.path(), &own, &own, latin_1, "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(authorizations(&own), [Some("Basic bWU6c2VzYW1lMQ==".to_owned())]);

    // A relevant line without text makes no credentials, and is reported.
    let token = [place.as_bytes(), b"/:_authToken=sesame\xfc\n"].concat();
    own.clear_requests();
    let output = ingest(folder.path(), &own, &own, token, "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(authorizations(&own), [None]);
    assert!(stderr(&output).contains("make no credentials"), "{}", stderr(&output));
}

#[test]
fn a_token_of_another_path_or_port_is_not_sent_and_a_missing_variable_is_reported() {
    let (pages, documents, folder) = (serve(), serve(), tempfile::tempdir().unwrap());
    let project = format!(
        "{0}/private/:_authToken=path-sesame\n//127.0.0.1/:_authToken=port-sesame\n{0}/:_authToken=${{NO_SUCH_TOKEN}}\n",
        place(&pages)
    );
    let output = ingest(folder.path(), &pages, &documents, project, "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!((authorizations(&pages), authorizations(&documents)), (vec![None], vec![None]));
    assert!(stderr(&output).contains("NO_SUCH_TOKEN"), "{}", stderr(&output));
}

#[test]
fn a_redirect_elsewhere_leaves_the_token_behind() {
    let (own, elsewhere, folder) = (serve(), serve(), tempfile::tempdir().unwrap());
    let redirect =
        |name: &str| Fault::packument(name, Action::Redirect { location: format!("{}/{name}", elsewhere.url()) });
    own.set_faults(FaultScript::of(["a", "b", "c"].map(redirect)));
    let project = format!("{}/:_authToken=own-sesame\n", place(&own));
    let output = ingest(folder.path(), &own, &own, project, "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(authorizations(&own), bearer("own-sesame"));
    assert_eq!(authorizations(&elsewhere), [None]);
    assert_eq!(elsewhere.requests().len(), 3);
}

#[test]
fn credentials_that_are_refused_stop_the_run_at_once() {
    let refusals = [
        (Kind::Root, Action::Unauthorized401),
        (Kind::Page, Action::Unauthorized401),
        (Kind::Packument, Action::Unauthorized401),
        (
            Kind::Packument,
            Action::Status { code: 403, retry_after: None, body: Some("{\"error\":\"no own-sesame\"}".to_owned()) },
        ),
    ];
    for (kind, action) in refusals {
        let (own, folder) = (serve(), tempfile::tempdir().unwrap());
        own.set_faults(FaultScript::of([Fault::on(kind, action.clone())]));
        let project = format!("{}/:_authToken=own-sesame\n", place(&own));
        let output = ingest(folder.path(), &own, &own, project, "");
        assert_eq!(output.status.code(), Some(3), "{action:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(".npmrc"), "{action:?}: {}", stderr(&output));
        // No attempt is repeated: the requests in flight together arrived, and no more.
        let refused = own.requests().into_iter().filter(|request| request.kind == kind);
        let mut asked: Vec<_> = refused.map(|request| (request.path, request.query)).collect();
        asked.sort();
        let count = asked.len();
        asked.dedup();
        assert_eq!(asked.len(), count, "{action:?}");
    }
}

#[test]
fn a_token_that_a_server_repeats_does_not_reach_the_lake() {
    let (own, folder) = (serve(), tempfile::tempdir().unwrap());
    let action =
        Action::Status { code: 400, retry_after: None, body: Some("{\"error\":\"odd: own-sesame\"}".to_owned()) };
    own.set_faults(FaultScript::of([Fault::packument("b", action)]));
    let project = format!("{}/:_authToken=own-sesame\n", place(&own));
    let output = ingest(folder.path(), &own, &own, project, "");
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    let lake = folder.path().join("lake");
    let origin =
        std::fs::read_dir(&lake).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    std::fs::rename(&origin, lake.join(crate::support::ORIGIN)).unwrap();
    let details = texts(&read_table(&lake, all_docs::table::TableKind::Outcomes), "detail");
    assert_eq!(details[1].as_deref(), Some("status 400 Bad Request ({\"error\":\"odd: [secret]\"})"));
}

#[test]
fn a_userconfig_that_is_not_there_is_an_input_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pivots.json"), "[null]").unwrap();
    let mut command = all_docs(folder.path());
    command.args(["ingest", "--pivots", "pivots.json", "--userconfig", "nowhere", "--origin", "http://127.0.0.1:9"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("nowhere"), "{}", stderr(&output));
}

/// A pipe in the place of a file that nobody named is not waited for.
#[cfg(unix)]
#[test]
fn a_pipe_called_npmrc_is_a_warning_and_one_called_as_the_settings_file_an_error() {
    let (server, folder) = (serve(), tempfile::tempdir().unwrap());
    let pipe = |name: &str| {
        let made = std::process::Command::new("mkfifo").arg(folder.path().join(name)).status().unwrap();
        assert!(made.success());
    };
    let ingest = || {
        let mut command = all_docs(folder.path());
        command.args(["ingest", "--origin", server.url()]).env("HOME", folder.path()).output().unwrap()
    };
    pipe(".npmrc");
    pipe("ca.pem");
    let output = ingest();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains(".npmrc is not used, because it cannot be read: it is no file"));
    std::fs::remove_file(folder.path().join(".npmrc")).unwrap();
    std::fs::write(folder.path().join(".npmrc"), "cafile=ca.pem\n").unwrap();
    let output = ingest();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("ca.pem cannot be read"), "{}", stderr(&output));
    pipe("all-docs.toml");
    let output = ingest();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("all-docs.toml is no file"), "{}", stderr(&output));
}

/// Texts that were given in the place of a URL may hold secrets too.
#[test]
fn settings_and_origins_that_are_wrong_are_not_repeated_whole() {
    let folder = tempfile::tempdir().unwrap();
    for origin in ["http://u:sesame@127.0.0.1/", "http://127.0.0.1/?token=sesame", "u:sesame@127.0.0.1"] {
        for arguments in
            [["ingest", "--origin", origin].as_slice(), &["ingest", "--origin", "npm", "--registry", origin]]
        {
            let output = all_docs(folder.path()).args(arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
            assert!(!stderr(&output).contains(SESAME), "{}", stderr(&output));
        }
    }
    for text in
        ["proxy = { url = \"http://u:sesame@x\" }\n", "[header]\nX-Key = \"sesame\"\n", "header = [\"X: sesame\n"]
    {
        std::fs::write(folder.path().join("all-docs.toml"), text).unwrap();
        let output = all_docs(folder.path()).args(["ingest", "--origin", "sample"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("line ") && !stderr(&output).contains(SESAME), "{}", stderr(&output));
    }
}
