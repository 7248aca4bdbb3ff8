//! `all-docs views`: lists the views and reports, each with the meaning of a row, its columns and an example.

use super::args::ViewsArgs;
use super::own_queries;
use crate::cli::exit::Code;
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::error::{Context, ErrorKind, Result};
use crate::pipeline::open_to_read;
use crate::query::{NamedQueries, NamedQuery, QueryKind};

pub(in crate::cli) async fn run(args: ViewsArgs, settings: &Settings, printer: &Printer) -> Result<Code> {
    let store = settings.open_lake()?;
    // The built-in ones need no lake.
    let lake = open_to_read(&store).await?.filter(|root| root.may_have_queries).map(|_| &store);
    let queries = own_queries::load(&args.own, lake).await?;
    let text = match &args.name {
        Some(name) => {
            let query = queries.find(name)?;
            if args.json { json(query)? } else { in_full(query) }
        }
        None if args.json => json(queries.all())?,
        None => list(&queries),
    };
    printer.result(&text)?;
    Ok(Code::Done)
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    let text = serde_json::to_string_pretty(value)
        .or_error(ErrorKind::Internal, || "the views cannot be written as JSON".to_owned())?;
    Ok(format!("{text}\n"))
}

/// Lists all views and reports, three lines each.
pub(super) fn list(queries: &NamedQueries) -> String {
    let mut text = String::new();
    for (kind, title) in [
        (QueryKind::View, "Views, which SQL can name as it names tables"),
        (QueryKind::Report, "Reports, which take parameters"),
    ] {
        text.push_str(&format!("{title}:\n"));
        for query in queries.all().iter().filter(|query| query.kind == kind) {
            text.push_str(&format!("\n  {}: {}\n", query.name, query.grain));
            if !query.columns.is_empty() {
                text.push_str(&format!("    columns  {}\n", query.columns.join(", ")));
            }
            if !query.example.is_empty() {
                text.push_str(&format!("    example  {}\n", query.example));
            }
        }
        text.push('\n');
    }
    text.push_str("all-docs views NAME shows one with its parameters and its SQL.\n");
    text
}

fn in_full(query: &NamedQuery) -> String {
    let mut text = format!("the {} {}\n  one row is  {}\n", query.kind.as_str(), query.name, query.grain);
    let key = if query.key == query.columns { &[][..] } else { query.key.as_slice() };
    for (title, items) in [("reads", query.reads.as_slice()), ("columns", &query.columns), ("key", key)] {
        if !items.is_empty() {
            text.push_str(&format!("  {title:<10}  {}\n", items.join(", ")));
        }
    }
    for parameter in &query.parameters {
        text.push_str(&format!("  parameter   {parameter}\n"));
    }
    if !query.example.is_empty() {
        text.push_str(&format!("  example     {}\n", query.example));
    }
    let is_header = |line: &&str| line.is_empty() || line.starts_with("--");
    let sql: Vec<&str> = query.sql.lines().skip_while(is_header).collect();
    text.push_str(&format!("\n{}\n", sql.join("\n")));
    text
}
