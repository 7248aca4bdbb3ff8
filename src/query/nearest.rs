//! Finds the name that a misspelt one probably means. Not here: the message about it.

/// The least similarity worth a suggestion, from 0 to 1. Suggestions below it look absurd.
const LEAST_LIKENESS: f64 = 0.78;

/// Returns the candidate most similar to `written`, ignoring case; `None` if none is similar.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let likeness = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        // A part of a name, such as `published` for `published_at`, is a likelier mistake than its letters suggest.
        let part = written.len() >= 4 && (candidate.contains(&written) || written.contains(&candidate));
        strsim::jaro_winkler(&written, &candidate).max(if part { 0.9 } else { 0.0 })
    };
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        // The first of equals stays, so the order of the candidates decides.
        .fold(
            None,
            |best: Option<(f64, &str)>, next| if best.is_some_and(|best| best.0 >= next.0) { best } else { Some(next) },
        )
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_match_and_an_unrelated_one_none() {
        let columns = ["name", "version", "published_at", "published_by", "license"];
        assert_eq!(nearest("nmae", columns), Some("name"));
        assert_eq!(nearest("Licence", columns), Some("license"));
        assert_eq!(nearest("published", columns), Some("published_at"));
        assert_eq!(nearest("xyzzy", columns), None);
    }
}
