//! The rules of the layers: a module uses only modules named above it in `src/lib.rs`; adapters do not use adapters,
//! stages do not use stages; and an outside crate stays in its modules.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Outside crates, and the modules that may name them. A crate that is not listed may be named anywhere.
const CRATE_MODULES: [(&str, &[&str]); 30] = [
    ("async_nats", &["queue"]),
    ("datafusion", &["query"]),
    ("datafusion_distributed", &["query"]),
    ("datafusion_proto", &["query"]),
    ("tonic", &["query"]),
    ("datafusion_functions_json", &["query"]),
    ("comfy_table", &["query"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("rustyline", &["cli"]),
    ("toml", &["cli", "sample"]),
    ("axum", &["cli", "sample", "worker"]),
    ("hyper", &["worker"]),
    ("hyper_util", &["worker"]),
    ("encoding_rs", &["text"]),
    ("reqwest", &["registry"]),
    ("rustls", &["registry"]),
    ("rustls_native_certs", &["registry"]),
    ("webpki_roots", &["registry"]),
    ("libdeflater", &["registry", "fetch", "plot"]),
    ("plotters", &["plot"]),
    ("plotters_bitmap", &["plot"]),
    ("dejavu", &["plot"]),
    ("rquickjs", &["script"]),
    ("rlimit", &["store"]),
    ("parquet", &["array", "encode", "event", "shard", "store", "query"]),
    ("zarrs", &["array"]),
    ("bytemuck", &["array"]),
    ("crc32c", &["array"]),
    ("object_store", &["store", "query"]),
];

/// Crates that the core must not use: it compiles for platforms without threads or sockets.
const FORBIDDEN_IN_CORE: [&str; 5] = ["tokio", "reqwest", "datafusion", "object_store", "futures"];

/// A module: its layer, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Module {
    layer: String,
    name: String,
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Returns the modules in the order of `src/lib.rs`; a comment such as `// core: …` begins a layer.
fn modules() -> Vec<Module> {
    let text = fs::read_to_string(source_root().join("lib.rs")).expect("src/lib.rs");
    let mut layer = String::new();
    let mut modules = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("// ") {
            layer = comment.split(':').next().unwrap_or_default().to_owned();
        }
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            modules.push(Module { layer: layer.clone(), name: name.to_owned() });
        }
    }
    modules
}

/// Returns the names of the modules, in their order.
pub(crate) fn module_names() -> Vec<String> {
    modules().into_iter().map(|module| module.name).collect()
}

/// Returns the sources of a module without its tests, comments and documentation.
pub(crate) fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let is_test = |path: &Path| {
        let mut parts = path.components().map(|part| part.as_os_str().to_string_lossy());
        parts.any(|part| {
            part == "tests" || part == "crash_tests" || part.ends_with("tests.rs") || part.starts_with("test_")
        })
    };
    let mut found = all_sources(module);
    found.retain(|(path, _)| !is_test(path.strip_prefix(source_root()).expect("below src")));
    for (_, code) in &mut found {
        // The two lines may have an attribute between them, such as one that lets tests unwrap.
        let tests = code.find("\nmod tests {").and_then(|start| code[..start].rfind("#[cfg(test)]"));
        code.truncate(tests.unwrap_or(code.len()));
    }
    found
}

/// Returns every source of a module, without comments and documentation.
fn all_sources(module: &str) -> Vec<(PathBuf, String)> {
    let mut pending = vec![source_root().join(module), source_root().join(format!("{module}.rs"))];
    let mut sources = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|suffix| suffix == "rs") && path.exists() {
            let text = fs::read_to_string(&path).expect("a source file");
            let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            sources.push((path, code.join("\n")));
        }
    }
    sources
}

/// Returns the words that follow `prefix` in `code`, also inside `prefix{a, b}`.
fn words_after(code: &str, prefix: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let list = rest.strip_prefix('{').map_or(rest.split(';').next(), |inner| inner.split('}').next());
        let word_of = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        match rest.starts_with('{') {
            true => words.extend(list.unwrap_or_default().split(',').map(word_of)),
            false => words.push(word_of(rest)),
        }
    }
    words
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let modules = modules();
    let place: BTreeMap<&str, usize> =
        modules.iter().enumerate().map(|(place, module)| (module.name.as_str(), place)).collect();
    assert!(modules.len() >= 12, "the modules of src/lib.rs were not found");
    let mut broken = Vec::new();
    for (own_place, module) in modules.iter().enumerate() {
        let sources = sources(&module.name);
        assert!(!sources.is_empty(), "the module {} has no source", module.name);
        for (path, code) in sources {
            for used in words_after(&code, "crate::") {
                let Some(&used_place) = place.get(used.as_str()) else { continue };
                let used_module = &modules[used_place];
                let same_layer = used_module.layer == module.layer && used_module.name != module.name;
                let apart = same_layer && ["adapters", "stages"].contains(&module.layer.as_str());
                if used_place > own_place || apart || (module.name == "sample" && used != "sample") {
                    broken.push(format!("{} uses {used}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "modules break the rules of the layers:\n{}", broken.join("\n"));
}

#[test]
fn an_outside_crate_stays_in_its_modules() {
    let mut strayed = Vec::new();
    for module in modules() {
        for (path, code) in sources(&module.name) {
            for (name, allowed) in CRATE_MODULES {
                if !allowed.contains(&module.name.as_str()) && code.contains(&format!("{name}::")) {
                    strayed.push(format!("{} uses {name}", path.display()));
                }
            }
            let is_core = module.layer == "core";
            for name in FORBIDDEN_IN_CORE {
                if is_core && code.contains(&format!("{name}::")) {
                    strayed.push(format!("{} uses {name}", path.display()));
                }
            }
        }
    }
    assert!(strayed.is_empty(), "an outside crate left its modules:\n{}", strayed.join("\n"));
}

#[test]
fn only_the_command_line_prints_or_reads_the_environment() {
    let mut strayed = Vec::new();
    for module in modules() {
        for (path, code) in sources(&module.name) {
            for word in ["println!", "eprintln!", "print!(", "std::env::", "env::var"] {
                if module.name != "cli" && code.contains(word) {
                    strayed.push(format!("{} has {word}", path.display()));
                }
            }
        }
    }
    assert!(strayed.is_empty(), "{}", strayed.join("\n"));
}

/// Every text of a user is read by `text`, which knows byte order marks, UTF-16 and line ends. The exceptions read
/// `.npmrc` files and certificates, read Parquet, compare an exported document with its bytes, and talk with a terminal.
#[test]
fn only_one_module_reads_the_texts_of_users() {
    let exceptions = [
        ("cli/network.rs", "fs::read("),
        ("cli/export.rs", "fs::read("),
        // In its tests.
        ("cli/output_file.rs", "fs::read("),
        // Parquet is no text.
        ("query/own_files/parquet_files.rs", " File::open("),
        ("cli/cache.rs", "stdin()"),
        ("cli/sample.rs", "stdin()"),
        ("cli/query/mod.rs", "stdin()"),
    ];
    let mut strayed = Vec::new();
    for module in ["cli", "query", "script"] {
        for (path, code) in sources(module) {
            for word in ["fs::read(", "read_to_string(", " File::open(", "stdin()"] {
                let is_known = |(file, known): &(&str, &str)| path.ends_with(file) && *known == word;
                if code.contains(word) && !exceptions.iter().any(is_known) {
                    strayed.push(format!("{} has {word}", path.display()));
                }
            }
        }
    }
    assert!(strayed.is_empty(), "use crate::text: {}", strayed.join(", "));
}

/// A stage that waits for a future on a thread of the runtime can stop the runtime.
#[test]
fn only_the_store_and_the_command_line_wait_for_a_future() {
    let mut strayed = Vec::new();
    for module in modules() {
        for (path, code) in sources(&module.name) {
            if !["store", "cli"].contains(&module.name.as_str()) && code.contains("block_on(") {
                strayed.push(path.display().to_string());
            }
        }
    }
    assert!(strayed.is_empty(), "use Store::blocking: {}", strayed.join(", "));
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let mut long = Vec::new();
    for module in modules() {
        for entry in all_sources(&module.name) {
            let lines = fs::read_to_string(&entry.0).expect("a source file").lines().count();
            if lines > 400 {
                long.push(format!("{}: {lines} lines", entry.0.display()));
            }
        }
    }
    assert!(long.is_empty(), "files of more than 400 lines:\n{}", long.join("\n"));
}
