//! The law of the house: a room uses only rooms named above it in `src/lib.rs`; doors do not use doors, stages do not
//! use stages; and an outside crate stays in its room.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Outside crates, and the rooms that may name them. A crate that is not listed may be named anywhere.
const CRATE_ROOMS: [(&str, &[&str]); 13] = [
    ("datafusion", &["query"]),
    ("datafusion_functions_json", &["query"]),
    ("comfy_table", &["query"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("rustyline", &["cli"]),
    ("toml", &["cli", "sample"]),
    ("axum", &["sample"]),
    ("reqwest", &["registry"]),
    ("libdeflater", &["registry", "fetch"]),
    ("rquickjs", &["script"]),
    ("parquet", &["encode", "shard", "store", "query"]),
    ("object_store", &["store", "query"]),
];

/// What the words, the tables and the Parquet encoder must do without, to compile for places without threads or sockets.
const FORBIDDEN_IN_WORDS: [&str; 5] = ["tokio", "reqwest", "datafusion", "object_store", "futures"];

/// A room: its storey, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Room {
    storey: String,
    name: String,
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The rooms in the order of `src/lib.rs`; a comment `// storey: …` begins a storey.
fn rooms() -> Vec<Room> {
    let text = fs::read_to_string(source_root().join("lib.rs")).expect("src/lib.rs");
    let mut storey = String::new();
    let mut rooms = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("// ") {
            storey = comment.split(':').next().unwrap_or_default().to_owned();
        }
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            rooms.push(Room { storey: storey.clone(), name: name.to_owned() });
        }
    }
    rooms
}

/// The names of the rooms, in their order.
pub(crate) fn module_names() -> Vec<String> {
    rooms().into_iter().map(|room| room.name).collect()
}

/// The sources of a room without its tests, comments and documentation removed.
pub(crate) fn sources(room: &str) -> Vec<(PathBuf, String)> {
    let is_test = |path: &Path| {
        let mut parts = path.components().map(|part| part.as_os_str().to_string_lossy());
        parts.any(|part| part == "tests" || part.ends_with("tests.rs") || part.starts_with("test_"))
    };
    let mut found = all_sources(room);
    found.retain(|(path, _)| !is_test(path.strip_prefix(source_root()).expect("below src")));
    for (_, code) in &mut found {
        // Between the two lines may stand an attribute, such as one that lets tests unwrap.
        let tests = code.find("\nmod tests {").and_then(|module| code[..module].rfind("#[cfg(test)]"));
        code.truncate(tests.unwrap_or(code.len()));
    }
    found
}

/// Every source of a room, comments and documentation removed.
fn all_sources(room: &str) -> Vec<(PathBuf, String)> {
    let mut pending = vec![source_root().join(room), source_root().join(format!("{room}.rs"))];
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

/// The words that follow `prefix` in `code`, also inside `prefix{a, b}`.
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
fn a_room_uses_only_rooms_above_it() {
    let rooms = rooms();
    let place: BTreeMap<&str, usize> =
        rooms.iter().enumerate().map(|(place, room)| (room.name.as_str(), place)).collect();
    assert!(rooms.len() >= 12, "the rooms of src/lib.rs were not found");
    let mut broken = Vec::new();
    for (own_place, room) in rooms.iter().enumerate() {
        let sources = sources(&room.name);
        assert!(!sources.is_empty(), "the room {} has no source", room.name);
        for (path, code) in sources {
            for used in words_after(&code, "crate::") {
                let Some(&used_place) = place.get(used.as_str()) else { continue };
                let used_room = &rooms[used_place];
                let same_storey = used_room.storey == room.storey && used_room.name != room.name;
                let apart = same_storey && ["adapters", "stages"].contains(&room.storey.as_str());
                if used_place > own_place || apart || (room.name == "sample" && used != "sample") {
                    broken.push(format!("{} uses {used}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "the law of the rooms is broken:\n{}", broken.join("\n"));
}

#[test]
fn an_outside_crate_stays_in_its_room() {
    let mut strayed = Vec::new();
    for room in rooms() {
        for (path, code) in sources(&room.name) {
            for (name, allowed) in CRATE_ROOMS {
                if !allowed.contains(&room.name.as_str()) && code.contains(&format!("{name}::")) {
                    strayed.push(format!("{} uses {name}", path.display()));
                }
            }
            let is_word = room.storey == "core";
            for name in FORBIDDEN_IN_WORDS {
                if is_word && code.contains(&format!("{name}::")) {
                    strayed.push(format!("{} uses {name}", path.display()));
                }
            }
        }
    }
    assert!(strayed.is_empty(), "an outside crate left its room:\n{}", strayed.join("\n"));
}

#[test]
fn only_the_face_prints_or_reads_the_environment() {
    let mut strayed = Vec::new();
    for room in rooms() {
        for (path, code) in sources(&room.name) {
            for word in ["println!", "eprintln!", "print!(", "std::env::", "env::var"] {
                if room.name != "cli" && code.contains(word) {
                    strayed.push(format!("{} has {word}", path.display()));
                }
            }
        }
    }
    assert!(strayed.is_empty(), "{}", strayed.join("\n"));
}

/// A stage that waits for a future on a thread of the runtime can stop the runtime.
#[test]
fn only_the_store_and_the_command_line_wait_for_a_future() {
    let mut strayed = Vec::new();
    for room in rooms() {
        for (path, code) in sources(&room.name) {
            if !["store", "cli"].contains(&room.name.as_str()) && code.contains("block_on(") {
                strayed.push(path.display().to_string());
            }
        }
    }
    assert!(strayed.is_empty(), "use Store::blocking: {}", strayed.join(", "));
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let mut long = Vec::new();
    for room in rooms() {
        for entry in all_sources(&room.name) {
            let lines = fs::read_to_string(&entry.0).expect("a source file").lines().count();
            if lines > 400 {
                long.push(format!("{}: {lines} lines", entry.0.display()));
            }
        }
    }
    assert!(long.is_empty(), "files of more than 400 lines:\n{}", long.join("\n"));
}
