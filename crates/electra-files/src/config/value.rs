//! Keys and values of TOML tables.

use crate::{nearest, suggest::is_similar};
use std::path::Path;
use toml::{Table, Value};

/// Splits `a.b.key` into the names of the sections and the name of the key.
pub(crate) fn split(key: &str) -> (impl Iterator<Item = &str>, &str) {
    let (sections, last) = key.rsplit_once('.').map_or((None, key), |(a, b)| (Some(a), b));
    (sections.into_iter().flat_map(|path| path.split('.')), last)
}

/// `new` converted to the type of `old`, if it can be.
pub(crate) fn of_type(new: Value, old: &Value) -> Option<Value> {
    match (new, old) {
        (Value::Integer(i), Value::Float(_)) => Some(Value::Float(i as f64)),
        // For whole numbers that are written as 1e6.
        (Value::Float(x), Value::Integer(_)) if x.fract() == 0.0 => Some(Value::Integer(x as i64)),
        (new, old) => new.same_type(old).then_some(new),
    }
}

/// serde's "unknown field `x`, expected one of `a`, `b`" with a suggestion, if one of them is similar.
pub(crate) fn explain(message: &str) -> String {
    let message = message.trim_end();
    let lines = message.lines();
    let mut unknown = lines.filter_map(|line| {
        line.split("unknown field ").nth(1).or_else(|| line.split("unknown variant ").nth(1))
    });
    let Some(rest) = unknown.next() else {
        return message.to_owned();
    };
    let names: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    match names.split_first() {
        Some((name, known)) if known.iter().any(|other| is_similar(name, other)) => {
            format!("{message}{}", nearest(name, known.iter().copied()))
        }
        _ => message.to_owned(),
    }
}

/// The end of a message about overrides that give a section of `table` another `kind`: its other keys are still those of
/// the old one, which an override cannot remove.
pub(crate) fn of_other_kind(table: &Table, path: &Path, overrides: &[String]) -> String {
    let replaced = overrides.iter().find_map(|assignment| {
        let (key, text) = assignment.split_once('=')?;
        let section = key.strip_suffix(".kind")?;
        let values = section.split('.').try_fold(table, |table, name| table.get(name)?.as_table());
        let old = values?.get("kind")?.as_str()?;
        (values?.len() > 1 && old != text.trim_matches('"')).then_some((section, old))
    });
    let Some((section, old)) = replaced else {
        return String::new();
    };
    format!(
        "\n[{section}] of {} has the keys of kind = {old:?}, which --set does not remove. Write a config with extends = {:?}, \
         unset = [{section:?}] and a section [{section}] of the other kind",
        path.display(),
        path.file_name().unwrap_or_default().to_string_lossy(),
    )
}
