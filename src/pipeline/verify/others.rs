//! Harmless foreign files: they are reported, and not changed.

use std::collections::BTreeMap;

/// The number of files that are reported individually.
const SHOWN: usize = 10;

/// The files found, by the file or the topmost folder that is not the lake's.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// Files in the folder; 0 for a file.
    found: BTreeMap<String, u64>,
}

impl Others {
    /// Records a path. `unknown` is the part of the path that no rule of the lake explains; it is empty to report only
    /// the file.
    pub(super) fn add(&mut self, path: &str, unknown: &str) {
        match unknown.find('/') {
            Some(at) => {
                let folder = &path[..path.len() - unknown.len() + at];
                *self.found.entry(folder.to_owned()).or_default() += 1;
            }
            None => {
                self.found.entry(path.to_owned()).or_default();
            }
        }
    }

    pub(super) fn into_notes(self) -> Vec<String> {
        let count = self.found.len();
        let note = |(path, files): (String, u64)| match files {
            0 => format!("{path} is not part of the lake, and is left alone"),
            1 => format!("the folder {path} is not part of the lake, and is left alone (1 file)"),
            _ => format!("the folder {path} is not part of the lake, and is left alone ({files} files)"),
        };
        let mut notes: Vec<String> = self.found.into_iter().take(SHOWN).map(note).collect();
        if count > SHOWN {
            notes.push(format!("so are {} more files and folders", count - SHOWN));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_mentioned_once_and_a_crowd_is_counted() {
        let mut others = Others::default();
        for path in ["npm/mine/a", "npm/mine/b/c", "npm/notes.txt"] {
            others.add(path, &path["npm/".len()..]);
        }
        let expected = [
            "the folder npm/mine is not part of the lake, and is left alone (2 files)",
            "npm/notes.txt is not part of the lake, and is left alone",
        ];
        assert_eq!(others.into_notes(), expected);
        let mut crowd = Others::default();
        (0..25).for_each(|number| crowd.add(&format!("npm/{number}"), &number.to_string()));
        let notes = crowd.into_notes();
        assert_eq!((notes.len(), notes[SHOWN].as_str()), (SHOWN + 1, "so are 15 more files and folders"));
    }
}
