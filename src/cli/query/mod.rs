//! `all-docs query`: runs one statement, view or report; without one it opens a prompt, or runs the statements of a
//! pipe.

mod answer;
mod args;
mod attached;
mod own_queries;
mod pager;
mod shell;
mod views;
#[cfg(feature = "distributed")]
mod worker;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::printer::Printer;
use super::settings::Settings;
use crate::error::{Doing, Error, Result};
use crate::lake::LakeInfo;
use crate::pipeline::{LakeRoot, lake_ages, no_lake, open_to_read};
use crate::query::{AttachedLake, BoundSql, Key, NamedQuery, QueryKind, Script, Selection, Session, SessionOptions};
use crate::text;
use answer::Answers;
use args::SelectionArgs;
pub(super) use args::{QueryArgs, ViewsArgs};
pub(super) use views::run as run_views;
#[cfg(feature = "distributed")]
pub(super) use worker::{QueryWorkerArgs, run as run_worker};

/// The longest file or pipe of SQL that is read, in bytes. No person writes this much, but an endless pipe does.
const MOST_SQL_BYTES: u64 = 64 << 20;

/// Whether the command opens a prompt: it has no statement, and standard input is a terminal.
pub(super) fn opens_prompt(args: &QueryArgs) -> bool {
    args.sql.is_none() && args.view.is_none() && args.file.is_none() && io::stdin().is_terminal()
}

pub(super) async fn run(
    args: QueryArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let selection = selection(&args.selection)?;
    if args.view.is_none() && selection != Selection::default() {
        return Err(Error::input("a key selects from a view, and none is named").hint("add --view NAME"));
    }
    let store = settings.open_lake()?;
    let Some(LakeRoot { mut info, may_have_queries }) = open_to_read(&store).await? else {
        return Err(no_lake(settings.lake()));
    };
    let attached = attached::open(&args.attach, settings).await?;
    let name = args.view.as_deref().map(|view| choose_origin(view, &mut info, &attached)).transpose()?;
    let queries = Arc::new(own_queries::load(&args.own, Some(&store).filter(|_| may_have_queries)).await?);
    let ages = lake_ages(&store, &info).await?;
    let options = SessionOptions {
        queries,
        attached,
        ages,
        reads_own_files: true,
        #[cfg(feature = "distributed")]
        fleet: args.workers.fleet(),
        ..SessionOptions::default()
    };
    let session = Session::open(&store, &info, &options)?;
    let mut answers = Answers::new(&session, printer, args.format.as_deref(), args.output.as_deref())?;
    if opens_prompt(&args) {
        return shell::run(&session, &mut answers, printer).await;
    }
    let given: BTreeMap<String, String> = args.parameters.iter().cloned().collect();
    let work = async {
        match (name, &args.file, &args.sql) {
            (Some(name), _, _) => {
                let bound = of_name(&session, name, selection, &given).await?;
                match args.explain {
                    true => {
                        let plan = session.explain_bound(&bound).await?;
                        printer.result(&format!("{bound}\n\n{plan}\n"))
                    }
                    false => answers.answer(&bound).await,
                }
            }
            (None, Some(path), _) => answers.answer_or_explain(&of_file(path, &given)?, args.explain).await,
            (None, None, Some(sql)) => {
                answers.answer_or_explain(&BoundSql::undeclared(sql, &given), args.explain).await
            }
            (None, None, None) => of_pipe(&mut answers, &given, args.explain).await,
        }
    };
    match stop.run_until_cancelled(work).await {
        Some(result) => result.map(|()| Code::Done),
        None => Ok(Code::Interrupted),
    }
}

/// Returns the name of a view without its origin. The origin becomes the default, which bare names mean.
fn choose_origin<'a>(view: &'a str, info: &mut LakeInfo, attached: &[AttachedLake]) -> Result<&'a str> {
    let Some((origin, name)) = view.rsplit_once('.') else { return Ok(view) };
    let is_of = |lake: &AttachedLake| {
        origin.strip_prefix(&lake.name).is_some_and(|rest| matches!(rest.get(..1), None | Some("_")))
    };
    if !info.origins.contains_key(origin) && !attached.iter().any(is_of) {
        let names = attached.iter().map(|lake| lake.name.as_str());
        let origins: Vec<&str> = info.origins.keys().map(String::as_str).chain(names).collect();
        return Err(Error::input(format!("the lake holds no origin {origin:?}"))
            .hint(format!("its origins: {}", origins.join(", "))));
    }
    origin.clone_into(&mut info.default_origin);
    Ok(name)
}

/// Makes the statement of a view or report.
async fn of_name(
    session: &Session,
    name: &str,
    selection: Selection,
    given: &BTreeMap<String, String>,
) -> Result<BoundSql> {
    let query = session.queries().find(name)?;
    if query.kind == QueryKind::View && given.is_empty() {
        return session.select_from_view(name, &selection).await;
    }
    if selection != Selection::default() {
        return Err(Error::input(format!("{name} is a {}, which no key selects from", query.kind.as_str()))
            .hint(format!("it takes parameters: --param NAME=VALUE; all-docs views {name} shows them")));
    }
    // For a view this fails: a view has no parameters.
    query.with_values(given)
}

/// Reads the statement of a file. Parameters that its header declares have the declared types; others are read as JSON
/// or text.
fn of_file(path: &Path, given: &BTreeMap<String, String>) -> Result<BoundSql> {
    let sql = text::read(path, "SQL file", MOST_SQL_BYTES)?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let query = NamedQuery::read(&name, QueryKind::Report, &sql).doing(|| format!("reading {}", path.display()))?;
    if query.parameters.is_empty() { Ok(BoundSql::undeclared(sql, given)) } else { query.with_values(given) }
}

/// Runs the statements of standard input in order, up to the first that fails.
async fn of_pipe(answers: &mut Answers<'_>, given: &BTreeMap<String, String>, explain: bool) -> Result<()> {
    let text = text::read_standard_input(MOST_SQL_BYTES).doing(|| "reading statements".to_owned())?;
    let script = Script::read(&text);
    let statements: Vec<String> = script.complete.into_iter().chain(Some(script.rest)).collect();
    let statements: Vec<&String> = statements.iter().filter(|statement| !statement.trim().is_empty()).collect();
    if statements.is_empty() {
        return Err(Error::input("there is no statement")
            .hint("give one, such as: all-docs query 'select count(*) from versions'"));
    }
    if statements.len() > 1 && answers.goes_to_file() {
        return Err(Error::input("the results of several statements do not fit into one file")
            .hint("give one statement, or leave out --output"));
    }
    for statement in statements {
        answers.answer_or_explain(&BoundSql::undeclared(statement, given), explain).await?;
    }
    Ok(())
}

fn selection(args: &SelectionArgs) -> Result<Selection> {
    let key = |text: &Option<String>| text.as_deref().map(Key::parse);
    Ok(Selection {
        key: key(&args.key),
        keys: args.keys.as_deref().map(Key::parse_list).transpose()?,
        start_key: key(&args.startkey),
        end_key: key(&args.endkey),
        descending: args.descending,
        skip: args.skip,
        limit: args.limit,
        group_level: args.group_level,
        reduce: args.reduce,
    })
}
