//! `all-docs plot`: draws values of packages over time into a file or the terminal. Not here: the values (`query`), and the
//! drawing (`plot`).

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::exit::Code;
use super::lake_origin::{LakeArgs, LakeOrigin};
use super::output_file;
use super::printer::Printer;
use super::settings::Settings;
use crate::error::{Doing, Error, Result};
use crate::npm::parse_day;
use crate::pipeline::lake_ages;
use crate::plot::{Chart, MOST_SERIES, Point, Series, Terminal};
use crate::query::{Period, Session, SessionOptions, TimelineOptions, Timelines};

/// The width of a chart that goes to no terminal, in columns.
const COLUMNS: u16 = 80;
/// The names that a title shows; more are in the legend.
const NAMES_IN_TITLE: usize = 3;

#[derive(Debug, Subcommand)]
pub(super) enum PlotCommand {
    /// The downloads of packages, as the mean of a day
    #[command(after_help = "\
A point is the mean of the known days of its period. A period of which less than half of the days are known is a gap: days \
that have not landed, days on which npm counted nothing, days before the first download. all-docs downloads brings the \
counts.

Examples:
  all-docs plot downloads react vue
  all-docs plot downloads react vue --since 2025-01-01 --output chart.svg
  all-docs plot downloads react preact --by month --log --output chart.png")]
    Downloads(PlotArgs),
    /// How many versions of packages were published
    #[command(after_help = "\
The versions are those of the table versions that have a time. A version that was unpublished is not among them. Without \
--until the chart ends with the last publication in the lake.

Examples:
  all-docs plot releases react
  all-docs plot releases typescript --by week --since 2026-01-01 --output releases.svg")]
    Releases(PlotArgs),
    /// How many packages depended on packages
    #[command(after_help = "\
A package depends on another one if its highest version does, with kind prod: at the end of each period, the highest \
stable version that was published by then, or the highest prerelease of a package without a stable one. Versions and \
packages that were unpublished since are not in the lake, so the past may have had more.

Examples:
  all-docs plot dependents react
  all-docs plot dependents lodash underscore --output dependents.png")]
    Dependents(PlotArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct PlotArgs {
    /// The packages, at most eight
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Begin with the period of this day [default: the first that has a value]
    #[arg(long, value_name = "DAY", value_parser = day)]
    since: Option<Date>,
    /// End with this day [default: the last that is known]
    #[arg(long, value_name = "DAY", value_parser = day)]
    until: Option<Date>,
    /// The period of a point; days and months are those of UTC, and weeks begin on Monday [default: month; for downloads
    /// the one that suits the number of days]
    #[arg(long, value_name = "PERIOD", value_enum)]
    by: Option<By>,
    /// Draw the values on a logarithmic scale; zeros are under its lowest step
    #[arg(long)]
    log: bool,
    /// Write the chart to this file; - is standard output [default: a chart of text on standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format of the chart [default: --output's suffix, else text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    lake: LakeArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Day,
    Week,
    Month,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Svg,
    Png,
    Text,
}

pub(super) async fn run(command: PlotCommand, settings: &Settings, printer: &Printer) -> Result<Code> {
    let (PlotCommand::Downloads(args) | PlotCommand::Releases(args) | PlotCommand::Dependents(args)) = &command;
    let output = output_file::named(args.output.as_deref());
    let format = args.format.map_or_else(|| by_suffix(output), Ok)?;
    if format == Format::Png && output.is_none() && io::stdout().is_terminal() {
        return Err(Error::input("png is not for a terminal").hint("add --output FILE"));
    }
    let names = distinct(&args.names)?;
    if args.since.zip(args.until).is_some_and(|(since, until)| since > until) {
        return Err(Error::input("--since is after --until").hint("give an earlier --since or a later --until"));
    }
    let lake = LakeOrigin::open(&args.lake, settings).await?;
    let flags = lake.flag();
    let LakeOrigin { store, mut info, layout } = lake;
    layout.name().clone_into(&mut info.default_origin);
    let ages = lake_ages(&store, &info).await?;
    let session_options = SessionOptions { ages, ..SessionOptions::default() };
    let session = Session::open(&store, &info, &session_options)?;
    let period = args.by.map(|by| match by {
        By::Day => Period::Day,
        By::Week => Period::Week,
        By::Month => Period::Month,
    });
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let options = TimelineOptions { names: &names, since: args.since, until: args.until, period, today, flags: &flags };
    let (timelines, what) = match &command {
        PlotCommand::Downloads(_) => (session.downloads_over_time(options).await, "downloads"),
        PlotCommand::Releases(_) => (session.releases_over_time(options).await, "releases"),
        PlotCommand::Dependents(_) => (session.dependents_over_time(options).await, "dependents"),
    };
    let timelines = timelines.doing(|| format!("reading the {what} of {}", names.join(", ")))?;
    let chart = chart(&command, timelines, layout.name(), args.log);
    let bytes = match format {
        Format::Svg => chart.svg()?.into_bytes(),
        Format::Png => chart.png()?,
        Format::Text => {
            let columns = printer.stdout_width().filter(|_| output.is_none());
            let has_colours = columns.is_some() && console::colors_enabled();
            chart.text(Terminal { columns: columns.unwrap_or(COLUMNS), has_colours }).into_bytes()
        }
    };
    match output {
        Some(path) => {
            output_file::write(path, &bytes)?;
            printer.note(&format!("the chart was written to {}", path.display()));
        }
        None => printer.result_bytes(&bytes)?,
    }
    Ok(Code::Done)
}

/// Returns the names without those that are given again.
fn distinct(given: &[String]) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in given {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    match names.len() > MOST_SERIES {
        true => Err(Error::input(format!("a chart has room for {MOST_SERIES} packages, not for {}", names.len()))
            .hint("draw several charts")),
        false => Ok(names),
    }
}

/// Describes the values by title, subtitle and units.
fn chart(command: &PlotCommand, timelines: Timelines, origin: &str, is_logarithmic: bool) -> Chart {
    let Timelines { lines, period, first, last } = timelines;
    let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    let period_name = period.as_str();
    let unfinished = match period.last_day(last) == last {
        true => String::new(),
        false => format!("; the last {period_name} is not over"),
    };
    let (what, unit, meaning) = match command {
        PlotCommand::Downloads(_) if period == Period::Day => {
            ("Downloads of", "downloads a day".to_owned(), "unknown days are gaps".to_owned())
        }
        PlotCommand::Downloads(_) => (
            "Downloads of",
            "downloads a day".to_owned(),
            format!("the mean of the known days of a {period_name}, a gap if less than half of them are known"),
        ),
        PlotCommand::Releases(_) => (
            "Releases of",
            format!("versions published in a {period_name}"),
            format!("versions that were not unpublished since{unfinished}"),
        ),
        PlotCommand::Dependents(_) => (
            "Packages that depend on",
            "packages".to_owned(),
            format!(
                "packages whose highest version by the end of the {period_name} depended on it, kind prod{unfinished}"
            ),
        ),
    };
    let time = match command {
        PlotCommand::Dependents(_) => format!("{period_name} (UTC)"),
        _ if period == Period::Week => "week, by its Monday (UTC)".to_owned(),
        _ => format!("{period_name} (UTC)"),
    };
    Chart {
        title: format!("{what} {}", listed(&names)),
        subtitle: format!("{origin}, {first} to {last}: {meaning}"),
        unit,
        time,
        is_logarithmic,
        series: lines
            .into_iter()
            .map(|line| Series {
                name: line.name,
                points: line.points.into_iter().map(|(day, value)| Point { day, value }).collect(),
            })
            .collect(),
    }
}

/// Lists names in a sentence: `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        names if names.len() > NAMES_IN_TITLE => format!("{} packages", names.len()),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

/// Returns the format that a file's suffix names; text without one.
fn by_suffix(path: Option<&Path>) -> Result<Format> {
    let Some(path) = path else { return Ok(Format::Text) };
    match path.extension().map(|suffix| suffix.to_string_lossy().to_ascii_lowercase()).as_deref() {
        Some("svg") => Ok(Format::Svg),
        Some("png") => Ok(Format::Png),
        Some("txt") | None => Ok(Format::Text),
        Some(suffix) => Err(Error::input(format!("the suffix .{suffix} of {} names no format", path.display()))
            .hint("add --format: one of svg, png, text")),
    }
}

fn day(text: &str) -> Result<Date, String> {
    parse_day(text).ok_or_else(|| "give a day as 2026-01-31".to_owned())
}
