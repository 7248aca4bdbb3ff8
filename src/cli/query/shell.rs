//! The prompt: reads statements that a person types, with history, several lines, and commands that begin with `\`.

use std::path::PathBuf;
use std::time::Instant;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::answer::Answers;
use super::views;
use crate::cli::exit::Code;
use crate::cli::printer::Printer;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::query::{BoundSql, Format, Script, Session};

const HELP: &str = "\
A statement may span several lines and ends with ;

  \\d              the tables and views
  \\d NAME         the columns of a table or view
  \\views          the views and reports, with an example of each
  \\timing         turn the time of each statement on or off
  \\pager          turn the pager ($PAGER) for long tables off or on
  \\format NAME    table, csv, json or ndjson
  \\q              leave; so does Ctrl-D
Ctrl-C stops a statement, or drops the typed text.
";

/// The next step after a line.
enum Next {
    GoOn,
    Leave,
}

pub(super) async fn run(session: &Session, answers: &mut Answers<'_>, printer: &Printer) -> Result<Code> {
    let mut editor = DefaultEditor::new().or_error(ErrorKind::Internal, || "cannot open the prompt".to_owned())?;
    let history = history_file();
    if let Some(file) = &history {
        // There is no history before the first prompt.
        let _ = editor.load_history(file);
    }
    answers.paged = true;
    printer.note("Type a statement and ; or \\? for help.");
    let mut shell = Shell { session, answers, printer, timing: false };
    let mut typed = String::new();
    loop {
        match editor.readline(if typed.is_empty() { "lake> " } else { "  ... " }) {
            Ok(line) => {
                let is_command = typed.is_empty() && is_command(&line);
                typed.push_str(&line);
                typed.push('\n');
                let script = if is_command { Script::default() } else { Script::read(&typed) };
                if is_command || !script.complete.is_empty() {
                    // The prompt continues if the history cannot grow.
                    let _ = editor.add_history_entry(typed.trim());
                }
                if is_command && matches!(shell.command(line.trim()).await, Next::Leave) {
                    break;
                }
                for statement in &script.complete {
                    shell.answer(statement).await;
                }
                typed = script.rest;
            }
            Err(ReadlineError::Interrupted) => typed.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Error::internal("cannot read from the prompt").source(error)),
        }
    }
    if let Some(file) = &history {
        let _ = editor.save_history(file);
    }
    Ok(Code::Done)
}

/// Returns the file that keeps statements from one prompt to the next.
fn history_file() -> Option<PathBuf> {
    let named = std::env::var_os("ALL_DOCS_HISTORY").map(PathBuf::from);
    named.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".all-docs-history")))
}

fn is_command(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('\\') || matches!(line.trim_end_matches(';'), "exit" | "quit" | "help")
}

struct Shell<'a, 'b> {
    session: &'a Session,
    answers: &'a mut Answers<'b>,
    printer: &'a Printer,
    timing: bool,
}

impl Shell<'_, '_> {
    async fn command(&mut self, line: &str) -> Next {
        let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim().trim_end_matches(';');
        match command.trim_end_matches(';') {
            "\\q" | "exit" | "quit" => return Next::Leave,
            "\\d" if argument.is_empty() => self.show(&self.tables()),
            "\\d" => self.answer(&format!("describe {argument}")).await,
            "\\views" => self.show(&views::list(self.session.queries())),
            "\\timing" => {
                self.timing = !self.timing;
                self.printer.note(if self.timing { "timing is on" } else { "timing is off" });
            }
            "\\pager" => {
                self.answers.paged = !self.answers.paged;
                self.printer.note(if self.answers.paged { "the pager is on" } else { "the pager is off" });
            }
            "\\format" => match argument.parse::<Format>() {
                Ok(format) if !format.is_binary() => self.answers.format = format,
                Ok(format) => self.printer.error(&Error::input(format!("{format} is not for a terminal"))),
                Err(error) => self.printer.error(&error),
            },
            "\\?" | "\\h" | "help" => self.show(HELP),
            other => {
                let error = Error::input(format!("there is no command {other}"));
                self.printer.error(&error.hint("\\? lists them"));
            }
        }
        Next::GoOn
    }

    fn tables(&self) -> String {
        let tables = self.session.tables();
        let widest = tables.iter().map(|table| table.name.len() + table.origin.len() + 1).max().unwrap_or_default();
        let mut text = String::from("Tables:\n");
        for table in &tables {
            let name = match table.is_default {
                true => table.name.to_owned(),
                false => format!("{}.{}", table.origin, table.name),
            };
            text.push_str(&format!("  {name:<widest$}  {}\n", table.grain));
        }
        text.push_str("\nViews:\n");
        let views: Vec<_> = self.session.queries().views().collect();
        let widest = views.iter().map(|view| view.name.len()).max().unwrap_or_default();
        for view in views {
            text.push_str(&format!("  {:<widest$}  {}\n", view.name, view.grain));
        }
        text
    }

    fn show(&self, text: &str) {
        if let Err(error) = self.printer.result(text) {
            self.printer.error(&error);
        }
    }

    /// Runs a statement and writes its result. Ctrl-C stops it and returns to the prompt.
    async fn answer(&mut self, statement: &str) {
        let started = Instant::now();
        let statement = BoundSql::new(statement);
        let answered = tokio::select! {
            // Ctrl-C comes first, so a user who sees the first rows can stop the statement.
            biased;
            _ = tokio::signal::ctrl_c() => Err(Error::interrupted()),
            answered = self.answers.answer(&statement) => answered,
        };
        if let Err(error) = answered {
            self.printer.error(&error);
        }
        if self.timing {
            self.printer.note(&format!("{:.3} s", started.elapsed().as_secs_f64()));
        }
    }
}
