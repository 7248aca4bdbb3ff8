//! The arguments of `query` and `views`.

use std::path::PathBuf;

#[cfg(feature = "distributed")]
use crate::cli::token::token_or_none;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A statement names a table by its own name, or with its origin: versions, npm.versions. `show tables` lists them, \
`describe versions` their columns, `all-docs views` the views and reports. JSON: json_get_str(json, 'readme'), \
json->'versions', over packuments.json. Versions: semver_satisfies(version, '^1.2'), semver_compare(a, b), \
semver_major(version), semver_sort_key(version). Who depends on whom: dependents('react', 2), dependencies_of('react').
Over the arrays of all-docs downloads and all-docs arrays: downloads(name, day, downloads), releases(name, month, \
versions_published), graph(name, dependency, kind).

A file of yours is a table by its path: from 'records.ndjson' (.ndjson, .jsonl, .json, .csv, .tsv, also with .gz or \
.zst, and .parquet). Its types come from the whole file; to say them: read_json('x.json', columns => {'n': 'text'}), \
read_csv('x.csv', all_text => true, delimiter => ';', header => false, quotes => false).

Without a statement the command opens a prompt on a terminal, and reads statements divided by `;` from a pipe.

Examples:
  all-docs query 'select count(*) from packages'
  all-docs query --view depended_upon --key react --group-level 1
  all-docs query --view transitive_dependents --param name=react --param depth=2
  all-docs query \"select version from versions where name = \\$name\" --param name=react
  all-docs query --file report.sql --format csv
  all-docs query 'select name from npm.packages except select name from mirror.packages'
  all-docs query --attach old=lakes/2025 'select name from old.packages except select name from packages'
  all-docs query 'select * from versions' --format parquet --output versions.parquet")]
pub(in crate::cli) struct QueryArgs {
    /// One SQL statement
    #[arg(value_name = "SQL", conflicts_with_all = ["view", "file"])]
    pub(super) sql: Option<String>,
    /// A view or a report by its name; mirror.NAME for one of another origin
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub(super) view: Option<String>,
    /// A file with one SQL statement
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// The value of a parameter, $NAME in the SQL; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub(super) parameters: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) selection: SelectionArgs,
    #[command(flatten)]
    pub(super) own: OwnQueriesArgs,
    #[cfg(feature = "distributed")]
    #[command(flatten)]
    pub(super) workers: WorkersArgs,
    /// The format of the result: table, csv, json, ndjson, parquet [default: --output's suffix, else table]. In csv a null
    /// is nothing between the commas, and an empty text is ""
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<String>,
    /// Write the result to this file instead of standard output; - is standard output
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Another lake for the statement: its tables are NAME.packages, those of its other origins NAME_ORIGIN.packages
    #[arg(long, value_name = "NAME=LAKE")]
    pub(super) attach: Vec<String>,
    /// Show the SQL of a view and the plan of the statement, and do not run it
    #[arg(long)]
    pub(super) explain: bool,
}

/// CouchDB's view parameters. A key is JSON or a bare text; a JSON list has a value for each column of the key.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Rows of a view (keys are JSON or bare text; a list has a value for each column)")]
pub(super) struct SelectionArgs {
    /// Rows that begin with this key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(super) key: Option<String>,
    /// Rows that begin with one of these: a JSON list of keys
    #[arg(long, value_name = "KEYS")]
    pub(super) keys: Option<String>,
    /// Rows from this key on
    #[arg(long, alias = "start-key", value_name = "KEY", allow_hyphen_values = true)]
    pub(super) startkey: Option<String>,
    /// Rows up to this key
    #[arg(long, alias = "end-key", value_name = "KEY", allow_hyphen_values = true)]
    pub(super) endkey: Option<String>,
    /// From the last key to the first; startkey is then the higher one
    #[arg(long)]
    pub(super) descending: bool,
    /// Skip this many rows at the start
    #[arg(long, value_name = "N")]
    pub(super) skip: Option<u64>,
    /// Return at most this many rows
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Count the rows that share the first N columns of the key
    #[arg(long, alias = "group_level", value_name = "N")]
    pub(super) group_level: Option<usize>,
    /// Count the rows
    #[arg(long)]
    pub(super) reduce: bool,
}

/// The machines that help.
#[cfg(feature = "distributed")]
#[derive(Debug, clap::Args)]
pub(super) struct WorkersArgs {
    /// The machines that read, group and join too: each runs all-docs query-worker on the same lake
    #[arg(long, value_name = "URL,URL…", value_delimiter = ',', value_parser = worker_url)]
    workers: Vec<url::Url>,
    /// The token of the workers
    #[arg(long, value_name = "TOKEN", env = "ALL_DOCS_WORKER_TOKEN", hide_env_values = true)]
    #[arg(value_parser = token_or_none)]
    worker_token: Option<String>,
}

#[cfg(feature = "distributed")]
impl WorkersArgs {
    /// Returns the workers, if there are any.
    pub(super) fn fleet(&self) -> Option<crate::query::Fleet> {
        let token = self.worker_token.clone().filter(|token| !token.is_empty());
        let workers = || crate::query::Fleet { workers: self.workers.clone(), token };
        (!self.workers.is_empty()).then(workers)
    }
}

#[cfg(feature = "distributed")]
fn worker_url(text: &str) -> Result<url::Url, String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string());
    match url {
        Ok(url)
            if url.scheme() == "http"
                && url.has_host()
                && url.path() == "/"
                && (url.username(), url.password(), url.query(), url.fragment()) == ("", None, None, None) =>
        {
            Ok(url)
        }
        _ => Err("write it as http://HOST:PORT".to_owned()),
    }
}

/// The location of the user's own views and reports.
#[derive(Debug, clap::Args)]
pub(super) struct OwnQueriesArgs {
    /// A folder with your own views and reports, views/*.sql and reports/*.sql; the lake's folder queries is also read
    #[arg(long, value_name = "DIR", env = "ALL_DOCS_QUERIES")]
    pub(super) queries: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A view is a relation that SQL can name: select * from depended_upon. A report is a query with parameters. \
Your own are .sql files below views/ and reports/, in the lake's folder queries or in --queries DIR. Each begins with \
a comment: -- One row is: …

Examples:
  all-docs views
  all-docs views transitive_dependents          show one in full, with its SQL
  all-docs query --view transitive_dependents --param name=react")]
pub(in crate::cli) struct ViewsArgs {
    /// Show only this one, with its SQL
    #[arg(value_name = "NAME")]
    pub(super) name: Option<String>,
    #[command(flatten)]
    pub(super) own: OwnQueriesArgs,
    /// Print them as JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}
