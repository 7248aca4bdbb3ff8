//! Evaluates a pivots file that is code, in an engine without access to files, network, modules, clock or random
//! numbers, and with bounded time and memory. Not here: whether the resulting list is valid.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::{CatchResultExt, CaughtError, Context, Ctx, Error as EngineError, Module, Object, Promise};
use rquickjs::{Runtime, Value};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::lake::{PivotElement as Element, Pivots, shown_pivot as shown};

/// The language available to code. The engine needs `Eval` to evaluate at all, and modules need `Promise`. Left out:
/// Date and Performance (clocks), Proxy, typed arrays, weak references.
type Language = (
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::MapSet,
    intrinsic::Promise,
);

/// The globals of a CommonJS file, and a silent console, for files that print a greeting. They are plain properties, so
/// that a file may declare constants of the same names.
const PRELUDE: &str = "globalThis.module = { exports: {} };
    globalThis.exports = module.exports;
    globalThis.console = { log() {}, info() {}, warn() {}, error() {}, debug() {} };
    delete Math.random;";

/// The hint wherever code fails.
const ALONE: &str = "a pivots file is evaluated by itself: it has no modules, files, network, clock or random numbers, \
                     and exports one list, as `module.exports = […]` or `export const pivots = […]`";

/// The limits of an evaluation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The limit of the engine's heap.
    pub(super) memory_bytes: usize,
    /// The limit of the engine's stack; its thread has a larger one.
    pub(super) stack_bytes: usize,
    /// The number of times that the engine may ask whether to continue. It asks after every 10,000 jumps and calls, so
    /// that the same file ends in the same way on any machine.
    pub(super) interrupts: u64,
    /// The number of promise continuations that may run.
    pub(super) jobs: u32,
    /// The longest time to wait: built-in functions on huge values can take long between two jumps.
    pub(super) wait: Duration,
}

impl Limits {
    /// 35,000 computed pivots need a hundredth of these. 200 million jumps and calls take some 5 seconds.
    pub(super) const DEFAULT: Limits = Limits {
        memory_bytes: 256 << 20,
        stack_bytes: 1 << 20,
        interrupts: 20_000,
        jobs: 100_000,
        wait: Duration::from_secs(30),
    };
}

/// Returns the elements of the list that `source` is or exports. An error gives the line where the engine knows it.
pub(super) fn evaluate(source: &str, file_name: &str, limits: Limits) -> Result<Vec<Element>> {
    // A thread of its own gives a stack of known size, a caller that can stop waiting, and a place to end the engine's
    // panics.
    let (sender, receiver) = mpsc::sync_channel(1);
    let (source, name) = (source.to_owned(), file_name.to_owned());
    let evaluation = move || {
        // The send fails if the caller has stopped waiting. Its result is then not needed.
        let _ = sender.send(run(&source, &name, limits));
    };
    std::thread::Builder::new()
        .name("pivots".to_owned())
        .stack_size(limits.stack_bytes * 4)
        .spawn(evaluation)
        .or_error(ErrorKind::Internal, || "no thread could be started".to_owned())?;
    match receiver.recv_timeout(limits.wait) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(too_long()),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(Error::internal("the JavaScript engine failed")),
    }
}

fn too_long() -> Error {
    Error::input("its code takes too long").hint("let it end, or write the list that it computes into the file")
}

fn too_large(limits: Limits) -> Error {
    Error::input(format!("its code needs more than {} MB of memory", limits.memory_bytes >> 20)).hint(ALONE)
}

fn run(source: &str, file_name: &str, limits: Limits) -> Result<Vec<Element>> {
    let engine = Engine::new(file_name, limits)?;
    // JSON5 files may hold an object around the list; a program would read that as a block.
    let is_object = !file_name.ends_with("js") && source.trim_start().starts_with('{');
    let wrapped = is_object.then(|| format!("({source}\n)"));
    match engine.evaluate(wrapped.as_deref().unwrap_or(source), Kind::Script)? {
        Evaluated::Elements(elements) => Ok(elements),
        // A program that does not parse has not run, so nothing is done twice.
        Evaluated::NoScript(error) if !mentions_modules(source) => Err(error),
        Evaluated::NoScript(_) => match Engine::new(file_name, limits)?.evaluate(source, Kind::Module)? {
            Evaluated::Elements(elements) => Ok(elements),
            Evaluated::NoScript(error) => Err(error),
        },
    }
}

fn mentions_modules(source: &str) -> bool {
    ["export", "import", "await"].iter().any(|word| source.contains(word))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Script,
    Module,
}

enum Evaluated {
    Elements(Vec<Element>),
    /// The text is not a program of this kind.
    NoScript(Error),
}

/// One evaluation's engine, with its limits.
struct Engine<'a> {
    context: Context,
    is_spent: Rc<Cell<bool>>,
    file_name: &'a str,
    limits: Limits,
}

impl<'a> Engine<'a> {
    fn new(file_name: &'a str, limits: Limits) -> Result<Self> {
        let broken = || "the JavaScript engine could not be started".to_owned();
        let runtime = Runtime::new().or_error(ErrorKind::Internal, broken)?;
        runtime.set_max_stack_size(limits.stack_bytes);
        let context = Context::custom::<Language>(&runtime).or_error(ErrorKind::Internal, broken)?;
        context.with(|ctx| ctx.eval::<(), _>(PRELUDE)).or_error(ErrorKind::Internal, broken)?;
        runtime.set_memory_limit(limits.memory_bytes);
        let is_spent = Rc::new(Cell::new(false));
        let spent = Rc::clone(&is_spent);
        let mut interrupts_left = limits.interrupts;
        runtime.set_interrupt_handler(Some(Box::new(move || {
            interrupts_left = interrupts_left.saturating_sub(1);
            spent.set(interrupts_left == 0);
            spent.get()
        })));
        Ok(Engine { context, is_spent, file_name, limits })
    }

    fn evaluate(&self, source: &str, kind: Kind) -> Result<Evaluated> {
        self.context.with(|ctx| {
            let outcome = match kind {
                Kind::Script => self.script(&ctx, source),
                Kind::Module => self.module(&ctx, source),
            };
            match outcome {
                Ok(elements) => Ok(Evaluated::Elements(elements)),
                Err(Fault::Ours(error)) => Err(error),
                Err(Fault::Thrown { error, is_syntax: true }) => Ok(Evaluated::NoScript(error)),
                Err(Fault::Thrown { error, .. }) => Err(error),
            }
        })
    }

    fn script<'js>(&self, ctx: &Ctx<'js>, source: &str) -> Result<Vec<Element>, Fault> {
        let globals = ctx.globals();
        let module: Object<'js> = globals.get("module").catch(ctx).map_err(|caught| self.fault(caught))?;
        let untouched: Value<'js> = module.get("exports").catch(ctx).map_err(|caught| self.fault(caught))?;
        let mut options = EvalOptions::default();
        options.strict = false;
        options.filename = Some(self.file_name.replace('\0', ""));
        let completion: Value<'js> =
            ctx.eval_with_options(source, options).catch(ctx).map_err(|caught| self.fault(caught))?;
        let exported: Value<'js> = module.get("exports").catch(ctx).map_err(|caught| self.fault(caught))?;
        let is_untouched = exported == untouched && exported.as_object().is_some_and(Object::is_empty);
        self.elements(ctx, if is_untouched { completion } else { exported })
    }

    fn module<'js>(&self, ctx: &Ctx<'js>, source: &str) -> Result<Vec<Element>, Fault> {
        let name = self.file_name.replace('\0', "");
        let declared = Module::declare(ctx.clone(), name, source).catch(ctx).map_err(|caught| self.fault(caught))?;
        let (module, promise) = declared.eval().catch(ctx).map_err(|caught| self.fault(caught))?;
        self.settle(ctx, &promise)?;
        let exports = module.namespace().catch(ctx).map_err(|caught| self.fault(caught))?;
        self.elements(ctx, exports.into_value())
    }

    /// Runs the continuations that the module waits for.
    fn settle<'js>(&self, ctx: &Ctx<'js>, promise: &Promise<'js>) -> Result<(), Fault> {
        for _ in 0..self.limits.jobs {
            if self.is_spent.get() {
                return Err(Fault::Ours(too_long()));
            }
            if let Some(result) = promise.result::<Value<'js>>() {
                return result.map(drop).catch(ctx).map_err(|caught| self.fault(caught));
            }
            if !ctx.execute_pending_job() {
                return Err(Fault::Ours(Error::input("its code waits for something that never comes").hint(ALONE)));
            }
        }
        Err(Fault::Ours(too_long()))
    }

    /// Reads the list: `value` itself, or its member `pivots` or `default`.
    fn elements<'js>(&self, ctx: &Ctx<'js>, value: Value<'js>) -> Result<Vec<Element>, Fault> {
        let list = self.find_list(ctx, value)?;
        // Not Array::len: it panics on a length beyond 2^31, which `new Array(4e9)` has.
        let length: f64 = list.get("length").catch(ctx).map_err(|caught| self.fault(caught))?;
        if length > Pivots::MAX_COUNT as f64 {
            return Err(Fault::Ours(Pivots::too_many(length)));
        }
        let mut elements = Vec::with_capacity(length as usize);
        for index in 0..length as u32 {
            let value: Value<'js> = list.get(index).catch(ctx).map_err(|caught| self.fault(caught))?;
            elements.push(element(&value));
            if matches!(elements.last(), Some(Element::Other(_))) {
                // One bad element is enough for an error, and many long ones would be many copies.
                break;
            }
        }
        Ok(elements)
    }

    fn find_list<'js>(&self, ctx: &Ctx<'js>, mut value: Value<'js>) -> Result<Object<'js>, Fault> {
        // The deepest nesting in use is `export default { pivots: […] }`, as tools compile it from a CommonJS file.
        for _ in 0..3 {
            let Some(object) = value.as_object().filter(|_| !value.is_array()) else { break };
            let mut inner: Value<'js> = object.get("pivots").catch(ctx).map_err(|caught| self.fault(caught))?;
            if inner.is_undefined() {
                inner = object.get("default").catch(ctx).map_err(|caught| self.fault(caught))?;
            }
            if inner.is_undefined() {
                break;
            }
            value = inner;
        }
        if value.is_array()
            && let Some(list) = value.as_object()
        {
            return Ok(list.clone());
        }
        let what = match value.as_object() {
            Some(object) if !value.is_function() => {
                let names: Vec<String> = object.keys().take(8).filter_map(Result::ok).collect();
                match names.is_empty() {
                    true => "an object without members".to_owned(),
                    false => format!("an object with the members {}", shown(&names.join(", "))),
                }
            }
            _ if value.is_undefined() => "nothing".to_owned(),
            _ => describe(&value),
        };
        Err(Fault::Ours(Error::input(format!("it gives {what}, not a list of pivots")).hint(ALONE)))
    }

    /// Turns the engine's exception into our error.
    fn fault(&self, caught: CaughtError<'_>) -> Fault {
        if self.is_spent.get() {
            return Fault::Ours(too_long());
        }
        let (message, place, is_syntax) = match &caught {
            CaughtError::Exception(exception) => {
                let name: Option<String> = exception.get("name").ok();
                let message = exception.message().unwrap_or_default();
                if message == "out of memory" {
                    return Fault::Ours(too_large(self.limits));
                }
                let place = exception.stack().and_then(|stack| first_place(&stack, self.file_name));
                let is_syntax = name.as_deref() == Some("SyntaxError");
                (format!("{}: {message}", name.as_deref().unwrap_or("Error")), place, is_syntax)
            }
            CaughtError::Value(value) if value.is_null() => return Fault::Ours(too_large(self.limits)),
            CaughtError::Value(value) => (format!("its code threw {}", describe(value)), None, false),
            CaughtError::Error(EngineError::Allocation) => return Fault::Ours(too_large(self.limits)),
            CaughtError::Error(EngineError::InvalidString(_)) => ("it holds a zero byte".to_owned(), None, false),
            CaughtError::Error(other) => (other.to_string(), None, false),
        };
        let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
        let error = Error::input(format!("its code cannot be evaluated: {}{place}", cut(&message))).hint(ALONE);
        Fault::Thrown { error, is_syntax }
    }
}

/// The reason why there is no list.
enum Fault {
    /// The checks of this program reject it.
    Ours(Error),
    /// The code does not parse, or threw.
    Thrown { error: Error, is_syntax: bool },
}

fn element(value: &Value<'_>) -> Element {
    if value.is_null() {
        return Element::Null;
    }
    match value.as_string().map(|text| text.to_string()) {
        Some(Ok(text)) if text.len() > Pivots::MAX_KEY_BYTES => {
            Element::Other(format!("a text of {} bytes, more than any name has", text.len()))
        }
        Some(Ok(text)) => Element::Text(text),
        Some(Err(_)) => Element::Other("a text that is not valid Unicode (half of a surrogate pair)".to_owned()),
        None => Element::Other(describe(value)),
    }
}

/// Describes a value that is no text, for an error.
fn describe(value: &Value<'_>) -> String {
    if let Some(number) = value.as_number() {
        return format!("the number {number}");
    }
    if let Some(is_true) = value.as_bool() {
        return is_true.to_string();
    }
    if let Some(Ok(text)) = value.as_string().map(|text| text.to_string()) {
        return shown(&text);
    }
    match value.type_name() {
        name @ ("undefined" | "null") => name.to_owned(),
        name @ ("array" | "object") => format!("an {name}"),
        name => format!("a {name}"),
    }
}

/// Returns `pivots.js:3:11`, from the first line of a stack trace that names the file.
fn first_place(stack: &str, file_name: &str) -> Option<String> {
    let line = stack.lines().find(|line| line.contains(file_name))?;
    let from = line.find(file_name)?;
    Some(line[from..].trim_end_matches(')').to_owned())
}

/// Cuts a message of foreign code to a readable length.
fn cut(message: &str) -> &str {
    message.char_indices().nth(300).map_or(message, |(at, _)| &message[..at])
}
