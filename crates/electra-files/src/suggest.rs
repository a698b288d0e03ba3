//! "Did you mean": the known name that is most similar to an unknown one.

/// The Jaro-Winkler similarity above which a name is suggested.
const ALIKE: f64 = 0.75;

/// The end of a message about an unknown name: `; did you mean "x"?`, or the list of known names if none is similar.
///
/// Upper and lower case count as equal.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let similarity = |a: &str| strsim::jaro_winkler(&name.to_lowercase(), &a.to_lowercase());
    match known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b))) {
        Some(best) if similarity(best) > ALIKE => format!("; did you mean {best:?}?"),
        _ => format!("; known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_similar_name_is_suggested_and_others_are_listed() {
        assert_eq!(nearest("stepps", ["steps", "seed"]), "; did you mean \"steps\"?");
        assert_eq!(nearest("COLOR", ["shape", "color"]), "; did you mean \"color\"?");
        assert_eq!(nearest("xyz", ["steps", "seed"]), "; known here: steps, seed");
        assert_eq!(nearest("xyz", []), "; known here: ");
    }
}
