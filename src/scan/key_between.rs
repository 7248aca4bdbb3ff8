//! Guesses keys between two keys, for the search of a rank. Pure; a bad guess costs only a request.

/// The bytes of the characters that most names consist of. Guesses consist of them.
const DIGITS: &[u8] = b"-./0123456789@_abcdefghijklmnopqrstuvwxyz";

/// How many characters after the common beginning are read, and how many a guess may add to it.
const DEPTH: usize = 9;

/// Returns a key strictly between `low` and `high` (`None`: open), about `fraction` of the way, as if the characters of
/// names were evenly distributed. `None` if the guess does not fall between.
pub(super) fn key_between(low: &str, high: Option<&str>, fraction: f64) -> Option<String> {
    let common = common_beginning(low, high);
    let (from, to) = (place(&low[common..]), high.map_or(1.0, |high| place(&high[common..])));
    let mut rest = from + (to - from) * fraction;
    let mut key = low[..common].to_owned();
    for _ in 0..DEPTH {
        rest *= DIGITS.len() as f64;
        let digit = rest.floor().clamp(0.0, (DIGITS.len() - 1) as f64);
        rest -= digit;
        key.push(char::from(*DIGITS.get(digit as usize)?));
        if key.as_str() > low && is_below(&key, high) {
            return Some(key);
        }
    }
    None
}

/// Returns the least key above all names that share a prefix with `low`: the shortest prefix that keeps the key below
/// `high`. It skips many names with the same prefix in one step.
pub(super) fn key_after_beginning(low: &str, high: Option<&str>) -> Option<String> {
    let common = common_beginning(low, high);
    low[common..].char_indices().find_map(|(at, character)| {
        let key = format!("{}{}", &low[..common + at], next_character(character)?);
        is_below(&key, high).then_some(key)
    })
}

fn is_below(key: &str, high: Option<&str>) -> bool {
    high.is_none_or(|high| key < high)
}

/// Returns the length of the common prefix of `low` and `high`, in bytes of whole characters.
fn common_beginning(low: &str, high: Option<&str>) -> usize {
    let Some(high) = high else { return 0 };
    let pairs = low.char_indices().zip(high.chars());
    pairs.take_while(|((_, low), high)| low == high).last().map_or(0, |((at, low), _)| at + low.len_utf8())
}

/// Returns the position of a text among all texts, from 0 to 1.
fn place(text: &str) -> f64 {
    let base = DIGITS.len() as f64;
    let mut scale = 1.0;
    let mut place = 0.0;
    for byte in text.bytes().take(DEPTH) {
        scale /= base;
        place += DIGITS.partition_point(|digit| *digit < byte) as f64 * scale;
    }
    place
}

fn next_character(character: char) -> Option<char> {
    (character..=char::MAX).nth(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn guesses_fall_where_they_are_wanted() {
        assert_eq!(key_between("", None, 0.5).as_deref(), Some("f"));
        assert_eq!(key_between("react-n", Some("react-o"), 0.5).as_deref(), Some("react-nf"));
        assert_eq!(key_after_beginning("react-native-x", Some("react-nf")).as_deref(), Some("react-nb"));
        assert_eq!(key_after_beginning("a", Some("b")), None);
        assert_eq!(key_after_beginning("\u{d7ff}", None).as_deref(), Some("\u{e000}"));
    }

    proptest! {
        #[test]
        fn a_guess_is_strictly_between(low in "\\PC{0,12}", high in proptest::option::of("\\PC{1,12}"), fraction in 0.0..=1.0) {
            prop_assume!(high.as_ref().is_none_or(|high| low < *high));
            let guesses = [key_between(&low, high.as_deref(), fraction), key_after_beginning(&low, high.as_deref())];
            for guess in guesses.into_iter().flatten() {
                prop_assert!(low < guess && high.as_ref().is_none_or(|high| guess < *high), "{guess:?}");
            }
        }
    }
}
