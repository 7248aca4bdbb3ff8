//! `all-docs packument show`: prints a document of the lake, one version of it, or some of its values.

use std::io::IsTerminal;

use super::exit::Code;
use super::lake_origin::{LakeArgs, LakeOrigin};
use super::printer::Printer;
use super::settings::Settings;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::npm::{JsonSelection, PackageName, member};
use crate::pipeline::{Absent, LakeDocuments};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The command prints the whole document byte for byte as the registry served it. The text of a version (or a dist-tag) \
and of a selected value is as it stands in the document. One selected value is printed as JSON, several as a JSON \
object; a missing value is null.

Examples:
  all-docs packument show react
  all-docs packument show react@latest
  all-docs packument show react@18.2.0 --select dist.integrity
  all-docs packument show react --select 'name, dist-tags.latest, versions|keys|length as count, time[\"18.2.0\"]'")]
pub(super) struct ShowArgs {
    /// A package, or one version of it by its number or dist-tag
    #[arg(value_name = "NAME[@VERSION]")]
    spec: String,
    /// Values to print: paths such as dist-tags.latest, with |keys, |values, |length, and `as NAME`
    #[arg(long, value_name = "PATH", num_args = 1..)]
    select: Vec<String>,
    #[command(flatten)]
    lake: LakeArgs,
}

pub(super) async fn run(args: ShowArgs, settings: &Settings, printer: &Printer) -> Result<Code> {
    let selections: Vec<Vec<JsonSelection>> =
        args.select.iter().map(|list| JsonSelection::parse_list(list)).collect::<Result<_>>()?;
    let selections = selections.concat();
    let name = PackageName::from_spec(args.spec.trim());
    let version = args.spec.trim().get(name.as_str().len() + 1..).filter(|version| !version.is_empty());
    let lake = LakeOrigin::open(&args.lake, settings).await?;
    let documents = LakeDocuments::open(&lake.store, &lake.layout).await?;
    let Some(document) = documents.find(&name)? else { return Err(absent(&name, &documents, &lake)?) };
    if version.is_none() && selections.is_empty() {
        printer.result_bytes(&document.bytes)?;
        if std::io::stdout().is_terminal() {
            printer.result("\n")?;
        }
        return Ok(Code::Done);
    }
    let no_json = || format!("the document of {name} is no JSON, and is kept as it was served");
    let text = std::str::from_utf8(&document.bytes).or_error(ErrorKind::Lake, no_json)?;
    let chosen = match version {
        Some(version) => find_version(text, &name, version)?,
        None => text,
    };
    let mut values = Vec::new();
    for selection in &selections {
        let value = selection.pick(chosen).or_error(ErrorKind::Lake, no_json)?;
        values.push((selection.label(), value.unwrap_or_else(|| "null".to_owned())));
    }
    let shown = match values.as_slice() {
        [] => chosen.to_owned(),
        [(_, value)] => value.clone(),
        values => {
            let members: Vec<String> =
                values.iter().map(|(label, value)| format!("{}:{value}", serde_json::Value::from(*label))).collect();
            format!("{{{}}}", members.join(","))
        }
    };
    printer.result(&format!("{shown}\n"))?;
    Ok(Code::Done)
}

/// Finds the text of a version, by its number or by a dist-tag.
fn find_version<'t>(document: &'t str, name: &PackageName, version: &str) -> Result<&'t str> {
    let no_json = || format!("the document of {name} is no JSON");
    let of = |object: Option<&'t str>, key: &str| match object {
        Some(object) => member(object, key).or_error(ErrorKind::Lake, no_json),
        None => Ok(None),
    };
    let versions = member(document, "versions").or_error(ErrorKind::Lake, no_json)?;
    if let Some(found) = of(versions, version)? {
        return Ok(found);
    }
    let tags = member(document, "dist-tags").or_error(ErrorKind::Lake, no_json)?;
    if let Some(tagged) = of(tags, version)?
        && let Ok(tagged) = serde_json::from_str::<String>(tagged)
        && let Some(found) = of(versions, &tagged)?
    {
        return Ok(found);
    }
    let error = Error::input(format!("{name} has no version and no dist-tag {version:?} in the lake"));
    let listed = format!("all-docs packument show '{name}' --select 'versions|keys, dist-tags'");
    Err(error.hint(format!("list them: {listed}")))
}

/// Returns the error that says why there is no document, with a hint.
fn absent(name: &PackageName, documents: &LakeDocuments, lake: &LakeOrigin) -> Result<Error> {
    let others: Vec<&str> =
        lake.info.origins.keys().map(String::as_str).filter(|origin| *origin != lake.layout.name()).collect();
    let elsewhere = match others.as_slice() {
        [] => String::new(),
        others => format!("\nthe lake also holds {}: see --origin", others.join(", ")),
    };
    let fetch = format!("fetch it: all-docs packument fetch '{name}'{}", lake.flag());
    let origin = lake.layout.name();
    Ok(match documents.why_absent(name)? {
        Absent::Outcome(held) => {
            let outcome = held.outcome.as_str();
            Error::input(format!("the lake holds no document of {name}: the outcome of its last request was {outcome}"))
                .hint(fetch + &elsewhere)
        }
        Absent::Listed => Error::input(format!("{name} is listed in {origin}, but its document was never fetched"))
            .hint(fetch + &elsewhere),
        Absent::Unknown(near) if near.is_empty() => {
            Error::input(format!("the lake has no package {name} in {origin}")).hint(fetch + &elsewhere)
        }
        Absent::Unknown(near) => Error::input(format!("the lake has no package {name} in {origin}"))
            .hint(format!("did you mean {}? Else {fetch}{elsewhere}", near.join(" or "))),
    })
}
